//! CSV (RFC 4180) as spreadsheets write it: with a head, quotes where needed, commas or semicolons, and perhaps a byte order
//! mark. Credentials of a whole production run come this way, so every fault is told with its row and column, and all of
//! them at once.

use std::collections::HashMap;

use dunlin_lwm2m::EndpointName;
use zeroize::Zeroizing;

use crate::credential::{Change, Doors, Key, NewCredential};
use crate::error::Fault;
use crate::extract::excerpt;

/// The columns; those of the mode that a row has must be filled.
pub(crate) const COLUMNS: [&str; 8] = [
    "endpoint",
    "mode",
    "identity",
    "key",
    "public_key",
    "certificate",
    "subject",
    "for",
];

/// More rows than this, and one commit would keep everybody else waiting; a file can be cut.
pub(crate) const ROWS_MAX: usize = 100_000;

/// More faults than this are not told: the file is another one than was meant.
pub(crate) const FAULTS_MAX: usize = 100;

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Import {
    /// One change for each row.
    pub(crate) changes: Vec<(EndpointName, Change)>,
    /// The row of each change, from 1 for the head.
    pub(crate) rows: Vec<usize>,
    /// What the operator should know, at most [`FAULTS_MAX`].
    pub(crate) warnings: Vec<Fault>,
}

/// Reads the whole file, or says what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Import, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first_line = text.lines().next().unwrap_or("");
    let separator = if first_line.contains(';') && !first_line.contains(',') {
        ';'
    } else {
        ','
    };
    let mut records = Records {
        rest: text,
        separator,
        row: 0,
    };
    let head = match records.next() {
        Some(Ok(head)) => columns(&head)?,
        Some(Err(fault)) => return Err(vec![fault]),
        None => return Err(vec![fault(1, None, "The file is empty.")]),
    };
    let mut import = Import::default();
    let mut faults = Vec::new();
    let mut seen: HashMap<(String, String, Doors), usize> = HashMap::new();
    for record in records {
        if faults.len() >= FAULTS_MAX {
            break;
        }
        let record = match record {
            Ok(record) => record,
            Err(fault) => {
                faults.push(fault);
                break;
            }
        };
        if import.rows.len() >= ROWS_MAX {
            let detail = format!("A file has at most {ROWS_MAX} rows; cut it in two.");
            faults.push(fault(record.row, None, &detail));
            break;
        }
        match row(&head, &record) {
            Ok(None) => {}
            Ok(Some((endpoint, new))) => {
                let same = (endpoint.to_string(), new.proof.to_string(), new.doors);
                if let Some(earlier) = seen.insert(same, record.row) {
                    let detail = format!(
                        "{} of this name stands in row {earlier} already.",
                        new.proof
                    );
                    faults.push(fault(record.row, None, &detail));
                    continue;
                }
                if let Some(warning) = new.warning().filter(|_| import.warnings.len() < FAULTS_MAX)
                {
                    import
                        .warnings
                        .push(fault(record.row, Some("key"), &warning));
                }
                import.changes.push((endpoint, Change::Add(vec![new])));
                import.rows.push(record.row);
            }
            Err((column, detail)) => faults.push(fault(record.row, column, &detail)),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if import.changes.is_empty() {
        return Err(vec![fault(1, None, "The file has a head and no rows.")]);
    }
    Ok(import)
}

fn fault(row: usize, column: Option<&str>, detail: &str) -> Fault {
    Fault {
        row,
        column: column.map(str::to_owned),
        detail: detail.to_owned(),
    }
}

/// Which column stands where.
fn columns(head: &Record) -> Result<Vec<&'static str>, Vec<Fault>> {
    let mut columns = Vec::new();
    let mut faults = Vec::new();
    for (at, name) in head.fields.iter().enumerate() {
        let name = name.trim();
        let known = COLUMNS
            .into_iter()
            .find(|one| one.eq_ignore_ascii_case(name));
        match known {
            Some(known) if columns.contains(&known) => {
                faults.push(fault(1, Some(known), "This column stands twice."));
            }
            Some(known) => columns.push(known),
            None => {
                // A key in the head must not come back in a message: the file may have no head.
                let named = if name.len() <= 16 {
                    excerpt(name)
                } else {
                    format!("number {}", at + 1)
                };
                let detail = format!(
                    "There is no column \"{named}\"; the first row names the columns: {}.",
                    COLUMNS.join(", ")
                );
                faults.push(fault(1, None, &detail));
            }
        }
    }
    if faults.is_empty() && !columns.contains(&"endpoint") {
        faults.push(fault(1, None, "The column \"endpoint\" is missing."));
    }
    if faults.is_empty() {
        Ok(columns)
    } else {
        Err(faults)
    }
}

type Wrong = (Option<&'static str>, String);

/// One row: `None` if it is empty.
fn row(
    head: &[&'static str],
    record: &Record,
) -> Result<Option<(EndpointName, NewCredential)>, Wrong> {
    if record.fields.iter().all(|field| field.trim().is_empty()) {
        return Ok(None);
    }
    if record.fields.len() != head.len() {
        let detail = format!(
            "The row has {} fields, and the head has {}.",
            record.fields.len(),
            head.len()
        );
        return Err((None, detail));
    }
    let field = |name: &str| {
        let at = head.iter().position(|column| *column == name)?;
        Some(record.fields[at].trim()).filter(|field| !field.is_empty())
    };
    let endpoint =
        field("endpoint").ok_or((Some("endpoint"), "The endpoint name is missing.".to_owned()))?;
    let endpoint =
        EndpointName::new(endpoint).map_err(|error| (Some("endpoint"), format!("{error}.")))?;
    let doors = match field("for") {
        None => Doors::Both,
        Some(word) => Doors::from_name(&word.to_ascii_lowercase()).ok_or((
            Some("for"),
            "Expected server, bootstrap or both.".to_owned(),
        ))?,
    };
    let mode = field("mode").map(str::to_ascii_lowercase);
    let mode = match mode.as_deref() {
        Some("psk") => "psk",
        Some("rpk") => "rpk",
        Some("x509") => "x509",
        Some(_) => return Err((Some("mode"), "Expected psk, rpk or x509.".to_owned())),
        None if field("public_key").is_some() => "rpk",
        None if field("certificate").or(field("subject")).is_some() => "x509",
        None => "psk",
    };
    unused(mode, &field)?;
    let at = |column| move |detail| (Some(column), detail);
    let new = match mode {
        "psk" => {
            let key = field("key").ok_or((Some("key"), "The key is missing.".to_owned()))?;
            let key = Key::parse(key).map_err(at("key"))?;
            let identity = field("identity").unwrap_or(endpoint.as_str());
            NewCredential::psk(identity.as_bytes(), key, doors).map_err(at("identity"))?
        }
        "rpk" => {
            let text = field("public_key")
                .ok_or((Some("public_key"), "The public key is missing.".to_owned()))?;
            NewCredential::rpk(text, doors).map_err(at("public_key"))?
        }
        _ => match (field("certificate"), field("subject")) {
            (Some(text), None) => {
                NewCredential::certificate(text, doors).map_err(at("certificate"))?
            }
            (None, Some(name)) => NewCredential::subject(name, doors).map_err(at("subject"))?,
            _ => {
                return Err((
                    Some("certificate"),
                    "Expected a certificate or a subject, one of them.".to_owned(),
                ));
            }
        },
    };
    Ok(Some((endpoint, new)))
}

/// A field that the mode has no use for is a shifted row or a misunderstanding.
fn unused<'a>(mode: &str, field: &impl Fn(&str) -> Option<&'a str>) -> Result<(), Wrong> {
    let used: &[&str] = match mode {
        "psk" => &["identity", "key"],
        "rpk" => &["public_key"],
        _ => &["certificate", "subject"],
    };
    for column in &COLUMNS[2..7] {
        if !used.contains(column) && field(column).is_some() {
            return Err((
                Some(column),
                format!("A row of the mode {mode} has nothing here."),
            ));
        }
    }
    Ok(())
}

/// The fields of one row; they hold keys, so they are wiped.
#[derive(Debug)]
struct Record {
    /// From 1 for the head.
    row: usize,
    fields: Vec<Zeroizing<String>>,
}

/// Rows one after the other.
struct Records<'a> {
    rest: &'a str,
    separator: char,
    row: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.row += 1;
        let mut fields = Vec::new();
        loop {
            match self.field() {
                Ok((field, more)) => {
                    fields.push(field);
                    if !more {
                        let row = self.row;
                        return Some(Ok(Record { row, fields }));
                    }
                }
                Err(detail) => {
                    self.rest = "";
                    return Some(Err(fault(self.row, None, detail)));
                }
            }
        }
    }
}

impl Records<'_> {
    /// The next field, and whether the row goes on after it.
    fn field(&mut self) -> Result<(Zeroizing<String>, bool), &'static str> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let ends = |c: char| c == self.separator || c == '\n' || c == '\r';
            let end = self.rest.find(ends).unwrap_or(self.rest.len());
            let field = self.rest[..end].to_owned();
            self.rest = &self.rest[end..];
            return Ok((Zeroizing::new(field), self.boundary()?));
        };
        let mut field = Zeroizing::new(String::with_capacity(64));
        let mut rest = quoted;
        loop {
            let end = rest.find('"').ok_or("A quoted field does not end.")?;
            field.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                // Two quotes are one.
                Some(after) => {
                    field.push('"');
                    rest = after;
                }
                None => break,
            }
        }
        self.rest = rest;
        Ok((field, self.boundary()?))
    }

    /// Passes a separator or the end of a row; true where the row goes on.
    fn boundary(&mut self) -> Result<bool, &'static str> {
        if let Some(rest) = self.rest.strip_prefix(self.separator) {
            self.rest = rest;
            return Ok(true);
        }
        for end in ["\r\n", "\n", "\r"] {
            if let Some(rest) = self.rest.strip_prefix(end) {
                self.rest = rest;
                return Ok(false);
            }
        }
        if self.rest.is_empty() {
            return Ok(false);
        }
        Err("Something stands after the closing quote of a field.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f";

    fn faults(text: &str) -> Vec<(usize, Option<String>)> {
        let faults = read(text).unwrap_err();
        faults
            .into_iter()
            .map(|fault| (fault.row, fault.column))
            .collect()
    }

    #[test]
    fn a_file_of_a_spreadsheet_is_read() {
        let text = format!(
            "\u{feff}Endpoint;key;identity;for\r\nlamp;{KEY};;server\r\n\r\n\"a;\"\"b\"\"\";base64:AAECAwQFBgcICQoLDA0ODw==;id;\r\n"
        );
        let import = read(&text).unwrap();
        assert_eq!(import.rows, [2, 4]);
        let key = Key::parse(KEY).unwrap();
        let one = NewCredential::psk(b"lamp", key.clone(), Doors::Server).unwrap();
        let two = NewCredential::psk(b"id", key, Doors::Both).unwrap();
        assert_eq!(import.changes[0].1, Change::Add(vec![one]));
        assert_eq!(import.changes[1].0.as_str(), "a;\"b\"");
        assert_eq!(import.changes[1].1, Change::Add(vec![two]));
    }

    #[test]
    fn every_mode_has_its_columns() {
        let pem = |text: &str| text.replace('"', "\"\"");
        let text = format!(
            "endpoint,mode,key,public_key,certificate,subject\na,psk,{KEY},,,\nb,,,\"{}\",,\nc,X509,,,\"{}\",\nd,,,,,CN of d\n",
            pem(crate::credential::tests::PUBLIC_KEY),
            pem(crate::credential::tests::CERTIFICATE),
        );
        let import = read(&text).unwrap();
        let modes: Vec<_> = import
            .changes
            .iter()
            .map(|(_, change)| match change {
                Change::Add(added) => added[0].proof.mode(),
                _ => "",
            })
            .collect();
        assert_eq!(modes, ["psk", "rpk", "x509", "x509"]);
        // A row of three lines is one row, as in a spreadsheet.
        assert_eq!(import.rows, [2, 3, 4, 5]);
    }

    #[test]
    fn all_faults_are_told_by_row_and_column() {
        let text = format!(
            "endpoint,mode,identity,key,subject,for\n,psk,,{KEY},,\nlamp,tls,,{KEY},,\nlamp,psk,,abc,,\nlamp,psk,,,,\nlamp,psk,,{KEY},x,\nlamp,psk,,{KEY},,front\nlamp,psk\n"
        );
        let column = |name: &str| Some(name.to_owned());
        assert_eq!(
            faults(&text),
            [
                (2, column("endpoint")),
                (3, column("mode")),
                (4, column("key")),
                (5, column("key")),
                (6, column("subject")),
                (7, column("for")),
                (8, None),
            ]
        );
        assert_eq!(faults(""), [(1, None)]);
        assert_eq!(faults("endpoint,key\n"), [(1, None)]);
        assert_eq!(faults("endpoint,colour,key\n"), [(1, None)]);
        assert_eq!(faults("endpoint,key,key\n"), [(1, column("key"))]);
        assert_eq!(faults(&format!("key\n{KEY}\n")), [(1, None)]);
        assert_eq!(
            faults(&format!("endpoint,key\nlamp,{KEY}\nlamp,{KEY}\n")),
            [(3, None)]
        );
        assert_eq!(faults("endpoint,key\nlamp,\"unclosed\n"), [(2, None)]);
        assert_eq!(faults("endpoint,key\nlamp,\"a\"b\n"), [(2, None)]);
        let many = "endpoint,key\n".to_owned() + &"x,y\n".repeat(500);
        assert_eq!(faults(&many).len(), FAULTS_MAX);
    }

    #[test]
    fn a_file_without_head_does_not_show_its_key() {
        let read = read(&format!("lamp,{KEY}\n")).unwrap_err();
        assert!(!format!("{read:?}").contains(KEY), "{read:?}");
    }

    #[test]
    fn short_keys_are_warned_of() {
        let import = read("endpoint,key\nlamp,0001020304050607\n").unwrap();
        assert_eq!((import.warnings[0].row, import.warnings.len()), (2, 1));
    }

    proptest! {
        #[test]
        fn hostile_files_never_panic(text in "(endpoint,key\n)?[a-f0-9,;\"\r\n]{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn quoted_fields_come_back(field in "[ -~\n]{1,40}") {
            let text = format!("\"{}\",x", field.replace('"', "\"\""));
            let mut records = Records { rest: &text, separator: ',', row: 0 };
            let record = records.next().unwrap().unwrap();
            prop_assert_eq!(record.fields[0].as_str(), field.as_str());
            prop_assert!(records.next().is_none());
        }
    }
}
