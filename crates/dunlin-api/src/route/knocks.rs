//! Knocks: who was refused lately.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::Failure;
use crate::auth::{AuthContext, Role};
use crate::credential::{Proof, fingerprint_text};
use crate::error::Problem;
use crate::extract::Params;
use crate::knock::Knock;
use crate::state::Api;
use crate::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Who was refused lately.
#[derive(Serialize, ToSchema)]
struct KnocksView {
    /// The last one first.
    knocks: Vec<KnockView>,
}

/// Refusals of one kind from one place.
#[derive(Serialize, ToSchema)]
struct KnockView {
    /// Where the last one came from.
    #[schema(example = "192.0.2.7:41022")]
    address: String,
    /// The endpoint name that was given.
    endpoint: Option<String>,
    /// Why it was refused.
    reason: String,
    /// What would let it in.
    remedy: Option<String>,
    /// What it showed of itself: credentials would know it by that.
    offered: Option<OfferedView>,
    /// How often since the Server started.
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
}

/// What a peer showed of itself.
#[derive(Serialize, ToSchema)]
struct OfferedView {
    /// `psk`, `rpk` or `x509`
    mode: &'static str,
    /// Of a PSK, where it is a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// Of a public key or certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// Of a certificate: the name that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
}

impl From<&Proof> for OfferedView {
    fn from(proof: &Proof) -> OfferedView {
        let (mut identity, mut fingerprint, mut subject) = (None, None, None);
        match proof {
            Proof::Psk { identity: shown } => identity = String::from_utf8(shown.clone()).ok(),
            Proof::Rpk { fingerprint: shown } => fingerprint = Some(fingerprint_text(shown)),
            Proof::Certificate {
                fingerprint: shown,
                subject: name,
                ..
            } => {
                fingerprint = Some(fingerprint_text(shown));
                subject.clone_from(name);
            }
            Proof::Subject(name) => subject = Some(name.clone()),
        }
        OfferedView {
            mode: proof.mode(),
            identity,
            fingerprint,
            subject,
        }
    }
}

/// Lists who was refused since the Server started, and what would let them in.
#[utoipa::path(
    get, operation_id = "list_knocks", path = "/knocks", tag = "clients",
    responses((status = 200, body = KnocksView), Failure),
)]
async fn list(
    auth: AuthContext,
    State(api): State<Api>,
    params: Params,
) -> Result<Json<KnocksView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let knocks = api.backend.live()?.knocks();
    let view = |knock: Knock| KnockView {
        address: knock.address,
        endpoint: knock.endpoint,
        reason: knock.reason,
        remedy: knock.remedy,
        offered: knock.offered.as_ref().map(OfferedView::from),
        count: knock.count,
        first_at: knock.first_at,
        last_at: knock.last_at,
    };
    Ok(Json(KnocksView {
        knocks: knocks.into_iter().map(view).collect(),
    }))
}
