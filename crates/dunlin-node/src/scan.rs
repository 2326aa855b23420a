//! Whether a row of the store is a record that this dunlin reads: for `dunlin check --data`.

use dunlin_server::change::Request;
use dunlin_store::Table;

use crate::facts;
use crate::record::decode;
use crate::tokens::Kept;

/// Says why a row does not read.
///
/// # Errors
/// The reason, for people.
pub fn validate(table: Table, key: &[u8], value: &[u8]) -> Result<(), String> {
    let read = match table {
        Table::Registrations | Table::Observations => return facts::validate(key, value),
        Table::Requests => decode::<Request>(value).map(drop),
        Table::Tokens => decode::<Kept>(value).map(drop),
        Table::Objects => decode::<String>(value).map(drop),
        Table::Credentials => return crate::credentials::validate(key, value),
        Table::Profiles => return crate::profiles::validate(value),
        Table::Bootstraps => return crate::bootstraps::validate(key, value),
        Table::LastValues => return crate::values::validate(key, value),
        // The store's own.
        Table::Meta => Ok(()),
    };
    read.map_err(|error| error.to_string())
}
