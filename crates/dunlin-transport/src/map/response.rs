//! Responses: which CoAP an answer makes, and what a CoAP response says (TS 1.0 §8.5).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dunlin_coap::{BlockValue, Code, ObservationId, OptionNumber, Response as CoapResponse, Token};
use dunlin_lwm2m::ContentFormat;
use dunlin_lwm2m::operation::{Response, ResponseCode};

use crate::event::{Answer, FetchedBlock, Relation, UplinkAnswer};

/// Diagnostic payloads are cut here, so that a refusal fits every datagram (RFC 7252 §5.5.2).
const DIAGNOSTIC_BYTES_MAX: usize = 200;

fn code(code: ResponseCode) -> Code {
    Code(code.to_byte())
}

/// A Server's answer to an uplink.
pub(crate) fn encode_uplink_answer(answer: &UplinkAnswer) -> CoapResponse {
    match answer {
        UplinkAnswer::Created(location) => {
            with_location(CoapResponse::new(Code::CREATED), location)
        }
        UplinkAnswer::Changed => CoapResponse::new(Code::CHANGED),
        UplinkAnswer::Deleted => CoapResponse::new(Code::DELETED),
        UplinkAnswer::Refused {
            code,
            diagnostic,
            max_age_s,
        } => encode_refusal(*code, diagnostic, *max_age_s),
    }
}

/// A refusal with words for whoever reads the packet.
pub(crate) fn encode_refusal(
    refused: ResponseCode,
    diagnostic: &str,
    max_age_s: Option<u32>,
) -> CoapResponse {
    let mut response = CoapResponse::new(code(refused));
    if let Some(seconds) = max_age_s {
        response.options.push_uint(OptionNumber::MAX_AGE, seconds);
    }
    let end = (0..=diagnostic.len().min(DIAGNOSTIC_BYTES_MAX))
        .rev()
        .find(|end| diagnostic.is_char_boundary(*end))
        .unwrap_or(0);
    response.with_payload(&diagnostic.as_bytes()[..end])
}

/// A Client's answer to a downlink.
pub(crate) fn encode_downlink_answer(answer: Response) -> CoapResponse {
    let mut response = with_location(CoapResponse::new(code(answer.code)), &answer.location);
    if let Some(format) = answer.format {
        response
            .options
            .push_uint(OptionNumber::CONTENT_FORMAT, u32::from(format.0));
    }
    response.with_payload(answer.payload)
}

fn with_location(mut response: CoapResponse, location: &[String]) -> CoapResponse {
    for segment in location {
        response
            .options
            .push(OptionNumber::LOCATION_PATH, segment.as_bytes());
    }
    response
}

/// What a peer answered. A code that LwM2M does not know is told as it came.
pub(crate) fn decode_answer(
    response: CoapResponse,
    relation: Option<(ObservationId, Token)>,
) -> Answer {
    let options = response.options.view();
    let format = options.content_format().map(ContentFormat);
    let location: Vec<String> = options
        .location_path()
        .map(|segment| String::from_utf8_lossy(segment).to_string())
        .collect();
    let max_age_s = options.max_age_s();
    Answer {
        code: ResponseCode::from_byte(response.code.0).ok_or(response.code.0),
        format,
        location,
        observation: relation.map(|(id, token)| Relation { id, token }),
        max_age_s,
        payload: response.payload.into_vec(),
    }
}
/// What a CoAP server gave for a fetch of one block.
pub(crate) fn decode_block(response: &CoapResponse) -> FetchedBlock {
    let options = response.options.view();
    let block = options.block2();
    FetchedBlock {
        code: ResponseCode::from_byte(response.code.0).ok_or(response.code.0),
        offset: block.map_or(0, BlockValue::offset),
        more: block.is_some_and(|block| block.more),
        block_size: block.map(|block| block.size),
        size: options.size2().map(u64::from),
        etag: options.etag().map(<[u8]>::to_vec),
        bytes: response.payload.to_vec(),
    }
}
