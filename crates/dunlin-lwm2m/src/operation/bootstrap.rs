//! The one operation of the bootstrap interface that goes up (TS 5.2.7.1); those that go down
//! are variants of [`super::Operation`].

use alloc::vec::Vec;

use thiserror::Error;

use super::registration::{Parameters, Strictness};
use super::response::ResponseCode;
use crate::deviation::Deviations;
use crate::id::{EndpointName, EndpointNameError};

use alloc::string::String;

/// `POST /bs?ep=…`: a Client asks for its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapRequest {
    /// Who asks.
    pub endpoint: EndpointName,
    /// Parameters that 1.0 does not know, such as `pct`; kept, never a reason to refuse.
    pub parameters: Vec<(String, String)>,
    /// What was tolerated.
    pub deviations: Deviations,
}

impl BootstrapRequest {
    /// From the Uri-Query options, one `key=value` each.
    pub fn parse<'a>(
        queries: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BootstrapRequestError> {
        let mut endpoint = None;
        let mut parameters = Parameters::default();
        for query in queries {
            let (key, value) = query.split_once('=').unwrap_or((query, ""));
            match key {
                "ep" if endpoint.is_some() => return Err(BootstrapRequestError::Duplicate),
                "ep" => endpoint = Some(EndpointName::new(value)?),
                _ => {
                    parameters.keep(key, value, Strictness::Lenient);
                }
            }
        }
        Ok(Self {
            endpoint: endpoint.ok_or(BootstrapRequestError::NoEndpoint)?,
            parameters: parameters.kept,
            deviations: parameters.deviations,
        })
    }

    /// The Uri-Query options that say this.
    pub fn queries(&self) -> Vec<String> {
        let mut queries = Vec::with_capacity(1 + self.parameters.len());
        queries.push(alloc::format!("ep={}", self.endpoint));
        queries.extend(self.parameters.iter().map(super::registration::query));
        queries
    }
}

/// Why a Bootstrap-Request is refused; the answer is always 4.00 (TS 8.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BootstrapRequestError {
    /// `ep` is missing.
    #[error("the endpoint name (ep) is missing")]
    NoEndpoint,
    /// `ep` is there twice.
    #[error("the endpoint name (ep) is given twice")]
    Duplicate,
    /// `ep` is no name.
    #[error(transparent)]
    Endpoint(#[from] EndpointNameError),
}

impl BootstrapRequestError {
    /// What to answer.
    pub const fn code(&self) -> ResponseCode {
        ResponseCode::BadRequest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn ts_5_2_7_1_a_request_names_the_endpoint() {
        let request = BootstrapRequest::parse(["ep=node34141"]).unwrap();
        assert_eq!(request.endpoint.as_str(), "node34141");
        assert_eq!(request.queries(), ["ep=node34141"]);
        let later = BootstrapRequest::parse(["pct=11542", "ep=a"]).unwrap();
        assert_eq!(later.parameters, vec![("pct".into(), "11542".into())]);
    }

    #[test]
    fn ts_8_5_without_a_name_it_is_refused() {
        for (queries, error) in [
            (vec![], BootstrapRequestError::NoEndpoint),
            (vec!["ep"], EndpointNameError::Empty.into()),
            (vec!["ep=a", "ep=b"], BootstrapRequestError::Duplicate),
        ] {
            assert_eq!(BootstrapRequest::parse(queries), Err(error));
            assert_eq!(error.code(), ResponseCode::BadRequest);
        }
    }
}
