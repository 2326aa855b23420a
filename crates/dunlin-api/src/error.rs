//! The table of error codes: everything the API can refuse, with its HTTP status, its title and what to do about it.
//!
//! A handler or a [`Backend`](crate::backend::Backend) answers with a [`Problem`]: a [`Code`] from the one table in this
//! file, a sentence about the case at hand, and whatever makes the case easier to find (the field, the line, the
//! LwM2M response code). It leaves as `application/problem+json` (RFC 9457). A code, once published, keeps its
//! meaning; `docs/reference/errors.md` describes each of them, which a test holds.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dunlin_lwm2m::operation::ResponseCode;
use serde::Serialize;

use crate::time::Timestamp;

/// Carries the LwM2M response code of an answer that came from a Client.
pub const COAP_HEADER: HeaderName = HeaderName::from_static("dunlin-coap");

/// The page that describes every code; the code itself is the anchor.
pub const DOCUMENTATION: &str = "docs/reference/errors.md";

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The stable name, in snake case.
    pub code: &'static str,
    /// The HTTP status it is answered with.
    pub status: u16,
    /// What went wrong, without the particulars.
    pub title: &'static str,
    /// What the caller can do.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $title:literal $remedy:literal;)+) => {
        /// Every reason for which the API refuses or reports a failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The row of the table.
            pub const fn row(self) -> Row {
                match self {
                    $(Code::$name => Row { code: $code, status: $status, title: $title, remedy: $remedy },)+
                }
            }
        }
    };
}

codes! {
    // The request itself.
    RouteUnknown "route_unknown" 404 "There is no such route"
        "Look the path up in /api/v1/openapi.json; LwM2M paths have at most three numbers.";
    MethodNotAllowed "method_not_allowed" 405 "The route does not take this HTTP method"
        "Use one of the methods in the Allow header.";
    MediaTypeUnsupported "media_type_unsupported" 415 "The body must be declared as JSON"
        "Send 'Content-Type: application/json' with every request that changes something, even without a body.";
    JsonInvalid "json_invalid" 400 "The body is not valid JSON"
        "Correct the JSON at the line and column given.";
    BodyInvalid "body_invalid" 400 "The body does not have the expected form"
        "Correct the member named in 'field'; docs/reference/rest.md shows every body.";
    BodyTooLarge "body_too_large" 413 "The body is too large"
        "Send less: the limits are in docs/reference/rest.md.";
    QueryInvalid "query_invalid" 400 "A query parameter is unknown or has a wrong value"
        "Correct the parameter named in 'field'.";
    PathInvalid "path_invalid" 400 "This is not an LwM2M path"
        "Write object, instance and resource as numbers from 0 to 65534, such as 3/0/1.";
    EndpointInvalid "endpoint_invalid" 400 "This is not an endpoint name"
        "Percent-encode the name, or write it as ~ and its base64url form.";
    CursorInvalid "cursor_invalid" 400 "The cursor is not one of ours"
        "Use 'next' of the page before as it is, or start again without a cursor.";
    PositionInvalid "position_invalid" 400 "The event position is not one of ours"
        "Use the 'id' of an event as it is, or 'start' for the oldest event kept.";

    // Who asks, and from where.
    HostNotAllowed "host_not_allowed" 403 "The Host header names a host that is not served"
        "Call the address that dunlin listens on, or add the name to http.hosts.";
    OriginNotAllowed "origin_not_allowed" 403 "Requests from pages of this origin are refused"
        "Use the UI that dunlin serves itself, or add the origin's host to http.hosts.";
    TokenMissing "token_missing" 401 "A token is needed"
        "Send 'Authorization: Bearer TOKEN'; 'dunlin token add NAME' makes one.";
    TokenUnknown "token_unknown" 401 "The token is not known"
        "Check it, or make another with 'dunlin token add NAME'; it may have been removed.";
    RoleInsufficient "role_insufficient" 403 "The token's role does not allow this"
        "Use a token with the role named in 'detail'.";

    // What is asked about.
    ClientUnknown "client_unknown" 404 "No Client with this endpoint name is registered"
        "Compare the name with GET /api/v1/clients; names are case-sensitive.";
    ClientExpired "client_expired" 404 "The Client's registration has expired"
        "Wait until it registers again; 'expired_at' says since when it is missing.";
    ClientDeregistered "client_deregistered" 404 "The Client's registration was ended"
        "Wait until it registers again; 'deregistered_at' says when it ended.";
    TargetUnknown "target_unknown" 404 "The Client has not announced this Object or Object Instance"
        "Look at 'objects' of the Client.";
    DefinitionUnknown "definition_unknown" 404 "There is no definition of this Object"
        "Add its DDF file with 'dunlin object add FILE'.";
    DefinitionInvalid "definition_invalid" 400 "The object definition file has a fault"
        "Correct the file at the line and column given.";
    DefinitionProtected "definition_protected" 409 "This object definition cannot be replaced"
        "Give the changed definition another version.";
    RequestUnknown "request_unknown" 404 "There is no request with this id"
        "Ended requests are kept for a while only; look at GET /api/v1/clients/{ep}/requests.";
    RequestEnded "request_ended" 409 "The request has already ended"
        "Nothing is left to cancel; read its outcome.";
    ObservationUnknown "observation_unknown" 404 "This path is not observed"
        "Look at GET /api/v1/clients/{ep}/observations.";
    ValueUnknown "value_unknown" 404 "No value of this path is known yet"
        "Read it from the Client (without cached=true), or observe it.";
    TokenNameUnknown "token_name_unknown" 404 "There is no token with this name"
        "Look at GET /api/v1/tokens.";
    TokenNameTaken "token_name_taken" 409 "There is a token with this name already"
        "Choose another name, or remove the old token first.";
    TokenNeeded "token_needed" 409 "This token is the last that may make others"
        "Make another token with the role admin first, or remove all the others first.";
    CredentialUnknown "credential_unknown" 404 "There is no credential for this endpoint name"
        "Look at GET /api/v1/credentials.";
    CredentialInvalid "credential_invalid" 400 "A credential is not well formed"
        "Correct the member named in 'field'; docs/reference/rest.md shows every form.";
    CredentialTaken "credential_taken" 409 "This identity, key or certificate belongs to another endpoint name"
        "Remove it there first, or give this Client one of its own.";
    ImportInvalid "import_invalid" 400 "The file has faults; nothing was imported"
        "Correct what 'errors' names by row and column, and import the whole file again.";
    ProfileUnknown "profile_unknown" 404 "There is no bootstrap profile with this name"
        "Look at GET /api/v1/profiles.";
    ProfileInvalid "profile_invalid" 400 "A bootstrap profile cannot be used"
        "Correct what 'field' names; docs/reference/rest.md shows a profile.";
    ProfileTaken "profile_taken" 409 "Another bootstrap profile stands there"
        "Change or remove the profile named in 'detail', or give this one other Clients.";
    ProfileUnusable "profile_unusable" 409 "The bootstrap profile does not work for this Client"
        "Change the profile as 'detail' says; GET /api/v1/bootstrap/plan/{ep} shows what it comes to.";

    // What may be done.
    OperationNotAllowed "operation_not_allowed" 405 "LwM2M has no such operation at this level"
        "See 'detail' for the level at which it exists.";
    ValueInvalid "value_invalid" 400 "A value does not fit the object definition"
        "Give the resource named in 'field' the type and range that 'detail' names.";
    ArgumentsInvalid "arguments_invalid" 400 "The arguments of Execute are malformed"
        "Write them as 0='text',1 with ids 0 to 9 and no spaces.";
    AttributesInvalid "attributes_invalid" 400 "The attributes are not valid"
        "Correct the attribute named in 'field': pmin, pmax, gt, lt and st, where lt + 2*st < gt.";
    FormatUnsupported "format_unsupported" 400 "This content format cannot be used here"
        "Leave 'format' out, or use tlv or json.";
    NotSupported "not_supported" 501 "This dunlin cannot do that"
        "See docs/features.md for what is there and what is not.";

    // How it ended at the Client.
    LwM2mBadRequest "lwm2m_bad_request" 400 "The Client answered 4.00 Bad Request"
        "Check the values and the range of the resource; the Client did not understand the request.";
    LwM2mUnauthorized "lwm2m_unauthorized" 403 "The Client answered 4.01 Unauthorized"
        "Give this Server the access right in the Client's Access Control Object (/2).";
    LwM2mForbidden "lwm2m_forbidden" 403 "The Client answered 4.03 Forbidden"
        "The Client does not allow it; its documentation may say why.";
    LwM2mNotFound "lwm2m_not_found" 404 "The Client answered 4.04 Not Found"
        "Discover the Object to see which Instances and Resources there are.";
    LwM2mMethodNotAllowed "lwm2m_method_not_allowed" 405 "The Client answered 4.05 Method Not Allowed"
        "The Resource is not readable, writable or executable; look at its definition.";
    LwM2mNotAcceptable "lwm2m_not_acceptable" 406 "The Client answered 4.06 Not Acceptable"
        "The Client cannot answer in this format; leave 'format' out or use tlv.";
    LwM2mRequestIncomplete "lwm2m_request_incomplete" 409 "The Client answered 4.08 Request Entity Incomplete"
        "A block of the transfer was lost; try again.";
    LwM2mPreconditionFailed "lwm2m_precondition_failed" 412 "The Client answered 4.12 Precondition Failed"
        "The Client's state does not allow it now.";
    LwM2mTooLarge "lwm2m_too_large" 413 "The Client answered 4.13 Request Entity Too Large"
        "Write less at once.";
    LwM2mFormatUnsupported "lwm2m_format_unsupported" 415 "The Client answered 4.15 Unsupported Content-Format"
        "Use format=tlv, which every Client must understand.";
    LwM2mServerError "lwm2m_server_error" 502 "The Client answered with an error of its own"
        "The fault is inside the Client; try again, then look at the device.";
    LwM2mOther "lwm2m_other" 502 "The Client answered with a code that LwM2M does not define here"
        "Look at 'coap' for the code.";
    ClientReset "client_reset" 502 "The Client rejected the message with a Reset"
        "The Client may have restarted and forgotten this Server; wait for it to register again.";
    ClientAnswerInvalid "client_answer_invalid" 502 "The Client's answer could not be understood"
        "See 'detail'; the definition of the Object may not be the Client's version.";
    ClientGone "client_gone" 502 "The registration ended before the Client answered"
        "Wait until the Client registers again, then repeat the request.";
    ClientTimeout "client_timeout" 504 "The Client did not answer in time"
        "It may have lost its connection; repeat the request, or raise timeout_s.";
    RequestExpired "request_expired" 504 "The request waited too long for the Client"
        "Raise timeout_s above the Client's lifetime.";
    RequestCancelled "request_cancelled" 409 "The request was cancelled"
        "Send it again if it is still wanted.";
    OutcomeUnknown "outcome_unknown" 502 "It is not known whether the Client carried the request out"
        "Read the resource to see; it is not sent twice by itself because it is not idempotent.";

    // The Server's own state.
    QueueFull "queue_full" 429 "Too many requests wait for this Client"
        "Cancel some of them, or wait until the Client has been awake.";
    Overloaded "overloaded" 503 "The Server has too much to do"
        "Try again after the time in Retry-After.";
    StoreUnavailable "store_unavailable" 503 "The store does not take changes"
        "Look at the log of dunlin: the disk may be full. It goes on by itself when there is room.";
    NotReady "not_ready" 503 "The Server is starting or stopping"
        "Try again in a moment.";
    Internal "internal" 500 "The Server made a mistake"
        "Report it with the log lines of this moment; this is a fault of dunlin.";
}

/// The code of an answer in CoAP's spelling, such as 2.05 (RFC 7252 §3): three bits of class, five of detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CoapCode(pub u8);

impl CoapCode {
    /// From class and detail: `new(4, 4)` is 4.04.
    pub const fn new(class: u8, detail: u8) -> CoapCode {
        CoapCode((class << 5) | (detail & 0x1f))
    }

    /// True for 2.xx.
    pub const fn is_success(self) -> bool {
        self.0 >> 5 == 2
    }

    /// The code of the table that stands for this answer. Success has none.
    pub const fn error(self) -> Option<Code> {
        Some(match (self.0 >> 5, self.0 & 0x1f) {
            (2, _) => return None,
            (4, 0) => Code::LwM2mBadRequest,
            (4, 1) => Code::LwM2mUnauthorized,
            (4, 3) => Code::LwM2mForbidden,
            (4, 4) => Code::LwM2mNotFound,
            (4, 5) => Code::LwM2mMethodNotAllowed,
            (4, 6) => Code::LwM2mNotAcceptable,
            (4, 8) => Code::LwM2mRequestIncomplete,
            (4, 12) => Code::LwM2mPreconditionFailed,
            (4, 13) => Code::LwM2mTooLarge,
            (4, 15) => Code::LwM2mFormatUnsupported,
            (5, _) => Code::LwM2mServerError,
            _ => Code::LwM2mOther,
        })
    }

    /// Reads the spelling `4.04`.
    pub fn parse(text: &str) -> Option<CoapCode> {
        let (class, detail) = text.split_once('.')?;
        if class.len() != 1 || detail.len() != 2 {
            return None;
        }
        let (class, detail) = (class.parse::<u8>().ok()?, detail.parse::<u8>().ok()?);
        (class < 8 && detail < 32).then_some(CoapCode::new(class, detail))
    }
}

impl From<ResponseCode> for CoapCode {
    fn from(code: ResponseCode) -> CoapCode {
        CoapCode(code.to_byte())
    }
}

impl core::fmt::Display for CoapCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:02}", self.0 >> 5, self.0 & 0x1f)
    }
}

impl Serialize for CoapCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A refusal or failure, on its way to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which row of the table.
    pub code: Code,
    /// What the Client answered, if it did.
    pub coap: Option<CoapCode>,
    /// A sentence about the case at hand.
    pub detail: String,
    /// What only some problems have; boxed, because every handler's result carries a problem.
    pub particulars: Option<Box<Particulars>>,
}

/// What only some problems have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Particulars {
    /// The member, parameter or resource that is at fault, such as `resources[0].value`.
    pub field: Option<String>,
    /// Line and column of the fault in a text that was sent, both from 1.
    pub place: Option<(u64, u64)>,
    /// When the registration expired.
    pub expired_at: Option<Timestamp>,
    /// When the registration was ended, by the Client or through the API.
    pub deregistered_at: Option<Timestamp>,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
    /// The HTTP methods that the route does take.
    pub allow: Option<String>,
    /// The faults of a table, by row and column.
    pub faults: Vec<Fault>,
}

/// A fault of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// The row, from 1 for the head, as a spreadsheet counts them.
    pub row: usize,
    /// The name of the column, if the fault is in one.
    pub column: Option<String>,
    /// What is wrong, as a sentence.
    pub detail: String,
}

impl Problem {
    /// A problem with a sentence about the case at hand.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem {
            code,
            detail: detail.into(),
            coap: None,
            particulars: None,
        }
    }

    /// What a Client's answer that is not a success means. `None` for a success.
    pub fn answered(coap: CoapCode, detail: impl Into<String>) -> Option<Problem> {
        let code = coap.error()?;
        Some(Problem {
            coap: Some(coap),
            ..Problem::new(code, detail)
        })
    }

    /// `client_unknown` for this name.
    pub fn client_unknown(endpoint: &str) -> Problem {
        Problem::new(
            Code::ClientUnknown,
            format!("No Client with the endpoint name \"{endpoint}\" is registered."),
        )
    }

    /// `client_expired` for this name.
    pub fn client_expired(endpoint: &str, at: Timestamp) -> Problem {
        let detail = format!("The registration of \"{endpoint}\" expired at {at}.");
        let mut problem = Problem::new(Code::ClientExpired, detail);
        problem.particulars_mut().expired_at = Some(at);
        problem
    }

    /// `client_deregistered` for this name; `forgotten` when not the Client but a caller of the API
    /// has ended the registration.
    pub fn client_deregistered(endpoint: &str, at: Timestamp, forgotten: bool) -> Problem {
        let detail = if forgotten {
            format!("The registration of \"{endpoint}\" was removed through the API at {at}.")
        } else {
            format!("\"{endpoint}\" de-registered at {at}.")
        };
        let mut problem = Problem::new(Code::ClientDeregistered, detail);
        problem.particulars_mut().deregistered_at = Some(at);
        problem
    }

    /// Names the member, parameter or resource at fault.
    #[must_use]
    pub fn at_field(mut self, field: impl Into<String>) -> Problem {
        self.particulars_mut().field = Some(field.into());
        self
    }

    /// Names line and column of the fault.
    #[must_use]
    pub fn at_place(mut self, line: u64, column: u64) -> Problem {
        self.particulars_mut().place = Some((line, column));
        self
    }

    /// Names the faults of a table.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<Fault>) -> Problem {
        self.particulars_mut().faults = faults;
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.particulars_mut().retry_after_s = Some(seconds);
        self
    }

    /// Names the HTTP methods that the route does take.
    #[must_use]
    pub fn allow(mut self, methods: &str) -> Problem {
        self.particulars_mut().allow = Some(methods.to_string());
        self
    }

    /// The member, parameter or resource at fault.
    pub fn field(&self) -> Option<&str> {
        self.particulars.as_ref()?.field.as_deref()
    }

    fn particulars_mut(&mut self) -> &mut Particulars {
        self.particulars.get_or_insert_default()
    }

    /// The body as it is sent, also inside a request's outcome.
    pub fn view(&self) -> ProblemView {
        let row = self.code.row();
        let particulars = self.particulars.as_deref().cloned().unwrap_or_default();
        ProblemView {
            r#type: format!("{DOCUMENTATION}#{}", row.code),
            title: row.title.to_string(),
            status: row.status,
            code: row.code.to_string(),
            detail: self.detail.clone(),
            remedy: row.remedy.to_string(),
            coap: self.coap.map(|code| code.to_string()),
            field: particulars.field,
            line: particulars.place.map(|(line, _)| line),
            column: particulars.place.map(|(_, column)| column),
            expired_at: particulars.expired_at.map(|at| at.to_string()),
            deregistered_at: particulars.deregistered_at.map(|at| at.to_string()),
            errors: particulars.faults,
        }
    }
}

/// The JSON of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// Where the code is described.
    pub r#type: String,
    /// What went wrong, without the particulars.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code, for programs.
    pub code: String,
    /// A sentence about the case at hand.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
    /// The Client's answer, such as `4.04`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coap: Option<String>,
    /// The member, parameter or resource at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The line of the fault, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column of the fault, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// When the registration expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<String>,
    /// When the registration was ended, by the Client or through the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<String>,
    /// The faults of a table that was sent, by row and column.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let row = self.code.row();
        let status = StatusCode::from_u16(row.status).expect("the table holds valid statuses");
        let mut response = (status, Json(self.view())).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(coap) = self.coap {
            let value = HeaderValue::from_str(&coap.to_string()).expect("digits and a dot");
            headers.insert(COAP_HEADER, value);
        }
        if let Some(particulars) = self.particulars {
            if let Some(seconds) = particulars.retry_after_s {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            if let Some(Ok(allow)) = particulars.allow.as_deref().map(str::parse) {
                headers.insert(header::ALLOW, allow);
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_every_row_is_complete() {
        let mut seen = BTreeSet::new();
        for code in Code::ALL {
            let row = code.row();
            assert!(seen.insert(row.code), "{} stands twice", row.code);
            assert!((400..600).contains(&row.status), "{}", row.code);
            assert!(
                row.code
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            );
            assert!(
                !row.title.ends_with('.'),
                "{}: a title is no sentence",
                row.code
            );
            assert!(
                row.remedy.ends_with('.'),
                "{}: a remedy is a sentence",
                row.code
            );
        }
    }

    #[test]
    fn every_code_is_documented() {
        let page = include_str!("../../../docs/reference/errors.md");
        for code in Code::ALL {
            let row = code.row();
            assert!(
                page.contains(&format!("### {}\n", row.code)),
                "{} is missing",
                row.code
            );
            assert!(
                page.contains(row.remedy),
                "the remedy of {} differs",
                row.code
            );
            assert!(
                page.contains(&format!("HTTP {}: {}.", row.status, row.title)),
                "{}",
                row.code
            );
        }
    }

    #[test]
    fn lwm2m_codes_become_the_http_statuses_that_are_promised() {
        for (coap, status) in [
            ("4.00", 400),
            ("4.01", 403),
            ("4.03", 403),
            ("4.04", 404),
            ("4.05", 405),
            ("4.06", 406),
            ("4.08", 409),
            ("4.12", 412),
            ("4.13", 413),
            ("4.15", 415),
            ("5.00", 502),
            ("5.03", 502),
            ("4.02", 502),
        ] {
            let code = CoapCode::parse(coap).unwrap();
            assert_eq!(code.to_string(), coap);
            assert_eq!(code.error().unwrap().row().status, status, "{coap}");
        }
        assert_eq!(CoapCode::parse("2.05").unwrap().error(), None);
        assert_eq!(CoapCode::parse("2.5"), None);
        assert_eq!(CoapCode::parse("8.00"), None);
    }
}
