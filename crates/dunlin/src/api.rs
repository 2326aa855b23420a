//! The way to the REST API: where it is, asking it, and what went wrong in one line.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value as Json;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

/// Where the API is without `--api`.
const DEFAULT_API: &str = "http://127.0.0.1:8080";

/// How long a connection may take to be there. Answers have no such limit: a Client may need its time.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// The largest answer that is taken in: a page of a thousand Clients is a megabyte.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the API is and how its answers are shown.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Api {
    /// Address of the API
    #[arg(long, env = "DUNLIN_API", value_name = "URL", default_value = DEFAULT_API)]
    api: String,
    /// Token for the API
    #[arg(
        long,
        env = "DUNLIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status: 200, 201, 202 or 204.
    pub(crate) status: u16,
    /// The body; null if there is none.
    pub(crate) json: Json,
}

impl Api {
    /// The API at this address, without a token.
    pub(crate) fn at(address: std::net::SocketAddr) -> Api {
        Api {
            api: format!("http://{address}"),
            token: None,
            json: true,
        }
    }

    /// Reads of a fleet through this API.
    pub(crate) fn reads(&self, per_s: f64) -> anyhow::Result<dunlin_sim::fleet::reads::Reads> {
        let mut reads = dunlin_sim::fleet::reads::Reads::new(per_s, &self.api)?;
        reads.token.clone_from(&self.token);
        Ok(reads)
    }

    /// Asks for `path`, such as `/clients?limit=5`.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Json> {
        Ok(self.ask(Method::GET, path, None)?.json)
    }

    /// Sends a request, with a body or without.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> anyhow::Result<Answer> {
        let body = body.map(Json::to_string).unwrap_or_default();
        self.send(method, path, "application/json", body.as_bytes())
    }

    /// Sends a request with a body of any type.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let request = self
            .request(method, path)?
            .header("content-type", media_type);
        let response = self.run(request.body(body).map_err(|_| self.no_address())?)?;
        let status = response.status().as_u16();
        let text = text(response)?;
        match status {
            200..=299 if text.is_empty() => Ok(Answer {
                status,
                json: Json::Null,
            }),
            200..=299 => {
                let json = serde_json::from_str(&text).with_context(|| self.no_dunlin())?;
                Ok(Answer { status, json })
            }
            _ => Err(self.problem(status, &text)),
        }
    }

    /// Opens the event stream: a reader of its lines.
    pub(crate) fn events(
        &self,
        query: &str,
        last: Option<&str>,
    ) -> anyhow::Result<impl BufRead + use<>> {
        let mut request = self.request(Method::GET, &format!("/events{query}"))?;
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request
            .header("accept", "text/event-stream")
            .body(&[][..])
            .map_err(|_| self.no_address())?;
        let response = self.run(request)?;
        let status = response.status().as_u16();
        if status != 200 {
            let text = text(response)?;
            return Err(self.problem(status, &text));
        }
        Ok(BufReader::new(response.into_body().into_reader()))
    }

    /// Asks for something that is no JSON: a reader of its bytes.
    pub(crate) fn download(&self, method: Method, path: &str) -> anyhow::Result<impl Read + use<>> {
        let request = self
            .request(method, path)?
            .header("content-type", "application/json")
            .body(&[][..])
            .map_err(|_| self.no_address())?;
        let response = self.run(request)?;
        let status = response.status().as_u16();
        if status != 200 {
            let text = text(response)?;
            return Err(self.problem(status, &text));
        }
        Ok(response.into_body().into_reader())
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<ureq::http::request::Builder> {
        let base = self.api.trim_end_matches('/');
        if base.starts_with("https://") {
            bail!(
                "https is not spoken here; use http over a tunnel, such as 'ssh -L 8080:127.0.0.1:8080 HOST'"
            );
        }
        let base = if base.contains("://") {
            base.to_string()
        } else {
            format!("http://{base}")
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{base}/api/v1{path}"));
        if let Some(token) = self.token.as_deref().filter(|token| !token.is_empty()) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        Ok(request)
    }

    fn run(&self, request: Request<&[u8]>) -> anyhow::Result<Response<Body>> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_DEADLINE))
            // The server is named by --api; a proxy for the web is not on the way to it.
            .proxy(None)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .user_agent("dunlin")
            .build();
        Agent::new_with_config(agent).run(request).map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => self.no_address(),
            error => anyhow!(
                "no answer from {}: {error}. Is 'dunlin serve' running there? --api or DUNLIN_API names another address",
                self.api
            ),
        })
    }

    /// What a problem says, in one line.
    fn problem(&self, status: u16, text: &str) -> anyhow::Error {
        let json: Json = serde_json::from_str(text).unwrap_or_default();
        let word = |name: &str| json[name].as_str().unwrap_or_default();
        if word("code").is_empty() {
            return anyhow!("{} (it answered with HTTP {status})", self.no_dunlin());
        }
        // The faults of a file come one a line before the sentence, so that all can be mended at once.
        for fault in json["errors"].as_array().into_iter().flatten() {
            let column = fault["column"]
                .as_str()
                .map(|column| format!(", column {column}"));
            let detail = fault["detail"].as_str().unwrap_or_default();
            let line = format!(
                "row {}{}: {detail}",
                fault["row"],
                column.unwrap_or_default()
            );
            eprintln!("{}", crate::table::plain(&line));
        }
        let mut line = word("detail").to_string();
        // A Client says little: what its code means, and what helps, is the better part.
        if json["coap"].is_string() {
            line = format!("{}. {line}", word("title"));
        }
        // Where the member at fault is named, the sentence says what it should be; else the remedy helps.
        line = match (word("code"), json["field"].as_str()) {
            ("token_missing", _) => {
                "this server wants a token: set DUNLIN_TOKEN, or ask whoever has one to run 'dunlin token add NAME'"
                    .into()
            }
            (_, Some(field)) => format!("{field}: {line}"),
            (_, None) => format!("{line} {}", word("remedy")),
        };
        if let (Some(row), Some(column)) = (json["line"].as_u64(), json["column"].as_u64()) {
            line = format!("line {row}, column {column}: {line}");
        }
        anyhow!("{line} [{}]", word("code"))
    }

    fn no_address(&self) -> anyhow::Error {
        anyhow!(
            "\"{}\" is not an address; write --api http://HOST:PORT",
            self.api
        )
    }

    fn no_dunlin(&self) -> String {
        format!(
            "what answers at {} is not the API of dunlin; --api names another address",
            self.api
        )
    }
}

fn text(response: Response<Body>) -> anyhow::Result<String> {
    let mut text = String::new();
    response
        .into_body()
        .into_reader()
        .take(ANSWER_BYTES_MAX)
        .read_to_string(&mut text)
        .context("the answer broke off")?;
    Ok(text)
}
