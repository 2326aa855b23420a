//! What `openapi.json` says of paths, queries and bodies that are read part by part, for exact problems.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::error::ProblemView;
use crate::view::AcceptedView;

/// An error.
#[derive(IntoResponses)]
#[response(
    status = "default",
    description = "An error, with a stable code",
    content_type = "application/problem+json"
)]
#[allow(dead_code, reason = "describes what Problem answers")]
pub(super) struct Failure(ProblemView);

/// The Client sleeps, or `wait=false`: the request waits.
#[derive(IntoResponses)]
#[response(
    status = 202,
    description = "The request was accepted; Location leads to it"
)]
#[allow(dead_code, reason = "describes what answer() answers")]
pub(super) struct Accepted(AcceptedView);

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes the path; Target reads it")]
pub(super) struct ClientPath {
    /// The endpoint name, percent-encoded, or `~` and its base64url form.
    ep: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes the path; Target reads it")]
pub(super) struct ObjectPath {
    /// The endpoint name, percent-encoded, or `~` and its base64url form.
    ep: String,
    /// Object ID.
    o: u16,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes the path; Target reads it")]
pub(super) struct InstancePath {
    /// The endpoint name, percent-encoded, or `~` and its base64url form.
    ep: String,
    /// Object ID.
    o: u16,
    /// Object Instance ID.
    i: u16,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes the path; Target reads it")]
pub(super) struct ResourcePath {
    /// The endpoint name, percent-encoded, or `~` and its base64url form.
    ep: String,
    /// Object ID.
    o: u16,
    /// Object Instance ID.
    i: u16,
    /// Resource ID.
    r: u16,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
pub(super) struct OperateQuery {
    /// Seconds from now until the answer must be there, time in the queue included.
    timeout_s: Option<u32>,
    /// false: answer 202 with the request at once.
    wait: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
pub(super) struct FormatQuery {
    /// The content format on the wire: `tlv json text opaque`, or a number.
    format: Option<String>,
    /// Seconds from now until the answer must be there, time in the queue included.
    timeout_s: Option<u32>,
    /// false: answer 202 with the request at once.
    wait: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
pub(super) struct ReadQuery {
    /// The content format on the wire: `tlv json text opaque`, or a number.
    format: Option<String>,
    /// true: answer from the last known value, with its age.
    cached: Option<bool>,
    /// Seconds from now until the answer must be there, time in the queue included.
    timeout_s: Option<u32>,
    /// false: answer 202 with the request at once.
    wait: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; AttributesChange reads it")]
pub(super) struct AttributesQuery {
    /// Minimum Period in seconds; empty unsets it.
    pmin: Option<String>,
    /// Maximum Period in seconds; empty unsets it.
    pmax: Option<String>,
    /// Greater Than, on a Resource; empty unsets it.
    gt: Option<String>,
    /// Less Than, on a Resource; empty unsets it.
    lt: Option<String>,
    /// Step, on a Resource; empty unsets it.
    st: Option<String>,
    /// Seconds from now until the answer must be there, time in the queue included.
    timeout_s: Option<u32>,
    /// false: answer 202 with the request at once.
    wait: Option<bool>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
pub(super) struct CancelQuery {
    /// `observe`: ask the Client, which answers with the value; `reset`: reject the next notification.
    by: Option<String>,
    /// Seconds from now until the answer must be there, time in the queue included.
    timeout_s: Option<u32>,
    /// false: answer 202 with the request at once.
    wait: Option<bool>,
}

/// A Resource to write.
#[derive(ToSchema)]
#[schema(example = json!({"value": 60}))]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
pub(super) struct WriteResource {
    /// Of a single Resource.
    value: Option<Value>,
    /// Of a multiple Resource, by Resource Instance ID.
    values: Option<BTreeMap<String, Value>>,
    /// Only where no definition is known.
    r#type: Option<String>,
}

/// The Resources of an Object Instance to write or create.
#[derive(ToSchema)]
#[schema(example = json!({"resources": [{"id": 1, "value": 60}]}))]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
pub(super) struct WriteInstance {
    /// In a Create: the Object Instance ID, if the Client shall not choose it.
    id: Option<u16>,
    resources: Vec<WriteInstanceResource>,
}

/// A Resource of an Object Instance.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
pub(super) struct WriteInstanceResource {
    id: u16,
    /// Of a single Resource.
    value: Option<Value>,
    /// Of a multiple Resource, by Resource Instance ID.
    values: Option<BTreeMap<String, Value>>,
    /// Only where no definition is known.
    r#type: Option<String>,
}

/// The arguments of an Execute.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
pub(super) struct ExecuteArguments {
    /// Ids 0 to 9 with or without a value.
    #[schema(example = "0='x',1")]
    arguments: Option<String>,
}
