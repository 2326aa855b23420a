//! The Server: the whole node in this process, with memory for a store, asked through REST.

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::SocketAddr;

use dunlin_client::Port;
use dunlin_node::{Config, Data, Node};
use serde_json::Value as Json;
use ureq::Agent;
use ureq::http::Request;

use super::PATIENCE;

pub(crate) struct Serve {
    pub(crate) coap: SocketAddr,
    /// The door with DTLS.
    pub(crate) coaps: SocketAddr,
    http: String,
    agent: Agent,
    _node: Node,
}

/// What the API answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The code of the Client, such as `2.05`; empty when it was not asked.
    pub(crate) coap: String,
    pub(crate) json: Json,
}

impl Serve {
    /// A Server that refuses what departs from the standard.
    pub(crate) fn strict() -> Self {
        Self::with(|config| config.server.strict = true)
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config {
            shards: 2,
            ..Config::default()
        };
        config.server.close_doors();
        config.server.coap = vec![loopback];
        config.server.coaps = vec![loopback];
        config.http.bind = loopback;
        change(&mut config);
        let node = Node::start(&config, &Data::Memory).expect("the node starts");
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        let serve = Self {
            coap: node.coap()[0],
            coaps: node.at(Port::Coaps)[0],
            http: format!("http://{}/api/v1", node.http()),
            agent: agent.into(),
            _node: node,
        };
        let definition = serde_json::json!({ "xml": super::SAMPLER }).to_string();
        let reply = serve.ask("PUT", "/objects", &definition);
        assert!((200..300).contains(&reply.status), "{reply:?}");
        serve
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.http))
            .header("Content-Type", "application/json");
        let response = if method == "GET" {
            self.agent.run(request.body(()).expect("a request"))
        } else {
            self.agent
                .run(request.body(body.to_owned()).expect("a request"))
        };
        let response = response.expect("the API answers");
        let status = response.status().as_u16();
        let code = response.headers().get("Dunlin-Coap");
        let coap = code
            .map_or("", |code| code.to_str().expect("text"))
            .to_owned();
        let mut text = String::new();
        response
            .into_body()
            .into_reader()
            .read_to_string(&mut text)
            .expect("the whole answer");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Reply { status, coap, json }
    }

    pub(crate) fn get(&self, path: &str) -> Json {
        let reply = self.ask("GET", path, "");
        assert_eq!(reply.status, 200, "GET {path}: {reply:?}");
        reply.json
    }

    /// Asks a Client, which must answer with this code.
    pub(crate) fn operate(&self, method: &str, path: &str, body: &str, code: &str) -> Json {
        let reply = self.ask(method, &format!("/clients/{path}"), body);
        assert_eq!(reply.coap, code, "{method} {path}: {reply:?}");
        reply.json
    }

    /// The single value that a Client has at a path.
    pub(crate) fn value(&self, path: &str) -> Json {
        self.operate("GET", path, "", "2.05")["node"]["value"].clone()
    }

    /// What is told of these types, from the beginning.
    pub(crate) fn events(&self, types: &str) -> Events {
        self.stream(&format!("after=start&types={types}"))
    }

    /// What is told of these types from now on: also what no log keeps.
    pub(crate) fn news(&self, types: &str) -> Events {
        self.stream(&format!("types={types}"))
    }

    fn stream(&self, query: &str) -> Events {
        let uri = format!("{}/events?{query}", self.http);
        let response = self.agent.get(uri).call().expect("the stream opens");
        let reader: Box<dyn Read> = Box::new(response.into_body().into_reader());
        Events(BufReader::new(reader).lines())
    }
}

/// The event stream.
pub(crate) struct Events(Lines<BufReader<Box<dyn Read>>>);

impl Events {
    /// Waits for the next event; its type stands in `type`.
    pub(crate) fn next(&mut self) -> Json {
        let mut kind = String::new();
        for line in &mut self.0 {
            let line = line.expect("the stream goes on");
            if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut kind);
            } else if let Some(text) = line.strip_prefix("data: ") {
                let mut data: Json = serde_json::from_str(text).expect("JSON");
                data["type"] = kind.into();
                return data;
            }
        }
        panic!("the event stream ended");
    }
}
