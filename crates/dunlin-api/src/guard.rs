//! What every request passes before its route: the Host, the Origin, the content type, the token.
//!
//! Loopback is no protection by itself: a page in the operator's browser can reach it too. So the Host must be an
//! address or a name that is ours (a rebound DNS name is neither), a page of another origin is refused, and every
//! request that changes something must declare a content type that no HTML form can send; there is no CORS, so a
//! browser never sends it across origins. Only then comes the question who asks.
//!
//! While there is no token, whoever reaches the port may do everything; a port that others can reach answers nobody
//! then.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::{AuthContext, Role};
use crate::error::{Code, Problem};
use crate::state::Api;

/// Checks a request and adds its [`AuthContext`], or answers in its place.
pub(crate) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&api, &parts) {
        Ok(context) => {
            if let Some(context) = context {
                parts.extensions.insert(context);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn admit(api: &Api, parts: &Parts) -> Result<Option<AuthContext>, Problem> {
    let host = host(parts)?;
    if !is_ours(host, &api.settings.hosts) {
        let detail = format!("\"{host}\" is not a name of this server.");
        return Err(Problem::new(Code::HostNotAllowed, detail));
    }
    let path = parts.uri.path();
    let api_route = path == "/api" || path.starts_with("/api/");
    if !api_route && path != "/metrics" {
        // The UI's files and the health routes hold nothing that is secret.
        return Ok(None);
    }
    check_origin(&parts.headers, host, &api.settings.hosts)?;
    if api_route && !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        check_content_type(path, &parts.headers)?;
    }
    let context = authenticate(api, &parts.headers)?;
    if !api_route {
        context.require(Role::Read)?;
    }
    Ok(Some(context))
}

/// The host that is asked for, with its port: from the target in HTTP/2, from the header in HTTP/1.1.
fn host(parts: &Parts) -> Result<&str, Problem> {
    let from_header = parts
        .headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    parts
        .uri
        .authority()
        .map(|authority| authority.as_str())
        .or(from_header)
        .ok_or_else(|| Problem::new(Code::HostNotAllowed, "The request has no Host header."))
}

/// Whether the host of `host[:port]` is an address, `localhost`, or a configured name. Addresses are safe whichever
/// they are: DNS rebinding needs a name.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let name = without_port(host);
    if let Some(inner) = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colon inside of [::1] is none before a port.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A page may call us if it came from us: its Origin names the same host and port, or a configured name (a proxy in
/// front may show us another Host than the browser sees).
fn check_origin(headers: &HeaderMap, host: &str, hosts: &[String]) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or("");
    let allowed = origin.split_once("://").is_some_and(|(scheme, authority)| {
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let plain = |text: &str| {
            text.strip_suffix(default_port)
                .unwrap_or(text)
                .to_ascii_lowercase()
        };
        plain(authority) == plain(host)
            || hosts
                .iter()
                .any(|ours| without_port(authority).eq_ignore_ascii_case(ours))
    });
    if allowed {
        return Ok(());
    }
    Err(Problem::new(
        Code::OriginNotAllowed,
        format!("The page is from \"{origin}\"."),
    ))
}

/// JSON, XML for object definitions, or CSV for an import: none of them can be sent by a form.
fn check_content_type(path: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or("")
                .trim()
                .to_ascii_lowercase()
        });
    let xml_too = path == "/api/v1/objects" || path.starts_with("/api/v1/objects/");
    match media_type.as_deref() {
        Some("application/json") => Ok(()),
        Some("application/xml" | "text/xml") if xml_too => Ok(()),
        Some("text/csv") if path == "/api/v1/credentials/import" => Ok(()),
        Some(other) => Err(Problem::new(
            Code::MediaTypeUnsupported,
            format!("The request says \"Content-Type: {other}\"."),
        )),
        None => Err(Problem::new(
            Code::MediaTypeUnsupported,
            "The request has no Content-Type.",
        )),
    }
}

fn authenticate(api: &Api, headers: &HeaderMap) -> Result<AuthContext, Problem> {
    let tokens = api.backend.tokens();
    if tokens.is_empty() && !api.settings.exposed {
        return Ok(AuthContext::open());
    }
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| {
            Problem::new(
                Code::TokenMissing,
                "The request has no 'Authorization: Bearer' header.",
            )
        })?;
    let record = tokens
        .authenticate(token)
        .ok_or_else(|| Problem::new(Code::TokenUnknown, "No token like the one sent is known."))?;
    Ok(AuthContext::of(record.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_our_names() {
        let hosts = ["dunlin.example.com".to_string()];
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.0.2.1:80",
            "[::1]",
            "[::1]:8080",
            "dunlin.example.com",
            "Dunlin.Example.com:443",
        ] {
            assert!(is_ours(host, &hosts), "{host}");
        }
        for host in [
            "",
            "attacker.example",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "[attacker]",
            "evil.dunlin.example.com",
            "::1",
            "127.0.0.1:8080@x",
        ] {
            assert!(!is_ours(host, &hosts), "{host}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let hosts = ["dunlin.example.com".to_string()];
        let check = |origin: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            check_origin(&headers, host, &hosts).is_ok()
        };
        assert!(check_origin(&HeaderMap::new(), "localhost:8080", &hosts).is_ok());
        assert!(check("http://localhost:8080", "localhost:8080"));
        assert!(check("http://localhost", "localhost:80"));
        assert!(check("https://dunlin.example.com", "127.0.0.1:8080"));
        for origin in [
            "null",
            "http://localhost:3000",
            "https://attacker.example",
            "http://127.0.0.1:8080",
        ] {
            assert!(!check(origin, "localhost:8080"), "{origin}");
        }
    }

    #[test]
    fn only_types_that_no_form_can_send_are_taken() {
        let check = |path: &str, media_type: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(media_type) = media_type {
                headers.insert(header::CONTENT_TYPE, media_type.parse().unwrap());
            }
            check_content_type(path, &headers).is_ok()
        };
        assert!(check("/api/v1/clients/a/3/0/4", Some("application/json")));
        assert!(check(
            "/api/v1/clients/a/3/0/4",
            Some("Application/JSON; charset=utf-8")
        ));
        assert!(check("/api/v1/objects", Some("application/xml")));
        for media_type in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/xml"),
            Some("multipart/form-data"),
        ] {
            assert!(
                !check("/api/v1/clients/a/3/0/4", media_type),
                "{media_type:?}"
            );
        }
    }
}
