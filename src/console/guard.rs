//! The checks before every route: only this machine or only callers with a token, bounded work, no
//! answer that a browser may store or execute.
//!
//! Without tokens the console listens on loopback and answers this machine only, as
//! [`check_local`] recognises it. Changes are also recognised by their media type, since a form of
//! another site cannot send JSON. With tokens only the media type is checked: a page knows no token,
//! and no browser sends one by itself.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use super::ROUTE;
use super::access::Access;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::{check_local, log_refusal};

/// Reading requests at a time; others wait.
const REQUESTS_MAX: usize = 16;
/// Changes at a time; others wait. They have a limit of their own, as most of the time they only
/// wait for a worker.
const CHANGES_MAX: usize = 64;
/// How long a change may wait for a worker. Once half of the permits are taken, further changes do
/// not wait, so that they are answered even if no worker is running.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout of a request, including its wait for a permit.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a handler may wait for a worker to apply a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitTimeout(pub(super) Duration);

/// The permits for concurrent requests.
struct Permits {
    reads: Semaphore,
    changes: Semaphore,
}

/// Puts the checks before all routes of `router`, those that do not exist included.
pub(super) fn protect(router: Router, access: Access) -> Router {
    let (reads, changes) = (Semaphore::new(REQUESTS_MAX), Semaphore::new(CHANGES_MAX));
    let permits = Arc::new(Permits { reads, changes });
    let is_open = access.is_open();
    // A request passes the last layer first. A caller without a token takes no permit.
    let router = router
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(permits, bound_work))
        .layer(from_fn(require_json));
    let router = access.protect(router);
    let router = if is_open { router.layer(from_fn(refuse_foreign)) } else { router };
    router.layer(from_fn(add_security_headers))
}

async fn add_security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

async fn refuse_foreign(request: Request, next: Next) -> Response {
    match check_local(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(detail) => {
            let (peer, code) = (request.extensions().get().copied(), ProblemCode::AuthForbidden);
            log_refusal(peer, ROUTE, code, &detail);
            Problem::new(code, detail).into_response()
        }
    }
}

async fn require_json(request: Request, next: Next) -> Response {
    let takes_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let has_body = takes_body || !request.body().is_end_stream();
    if !has_body || is_json(request.headers()) {
        return next.run(request).await;
    }
    let detail = "Content-Type: a body must be sent as application/json";
    Problem::new(ProblemCode::RequestMediaType, detail).into_response()
}

async fn bound_work(
    State(permits): State<Arc<Permits>>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let permits = if is_read { &permits.reads } else { &permits.changes };
    let work = async {
        // The semaphore is never closed, so a permit is always given in the end.
        let _permit = permits.acquire().await.ok();
        let may_wait = permits.available_permits() >= CHANGES_MAX / 2;
        request.extensions_mut().insert(WaitTimeout(if may_wait {
            WAIT_TIMEOUT
        } else {
            Duration::ZERO
        }));
        next.run(request).await
    };
    tokio::time::timeout(REQUEST_TIMEOUT, work).await.unwrap_or_else(|_| {
        let detail = "the store did not answer in time; try again later";
        Problem::new(ProblemCode::StoreUnavailable, detail).into_response()
    })
}

/// The panic's message may contain anything, so it is neither answered nor logged here; the panic
/// hook has logged where it happened.
fn answer_panic(_panic: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request of the console panicked");
    Problem::new(ProblemCode::Internal, "the program failed; please report what the log says")
        .into_response()
}

/// Whether the one Content-Type is JSON, which a page of another site cannot make a browser send
/// without a preflight request.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().ok().and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Extension;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::{any, get};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::broker::BrokerError;
    use crate::config::Settings;
    use crate::console::in_time;

    const JSON: &str = "application/json";

    /// A router without tokens.
    fn guarded(router: Router) -> Router {
        let settings = Settings::load_from(None, []).unwrap();
        protect(router, Access::new(&settings.console))
    }

    async fn status_of(headers: &[(&str, &str)], target: &str) -> StatusCode {
        status_of_method("GET", headers, target).await
    }

    async fn status_of_method(method: &str, headers: &[(&str, &str)], target: &str) -> StatusCode {
        let router = guarded(Router::new().route("/", any(|| async { "fine" })));
        let mut request = axum::http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn only_requests_of_this_machine_are_answered() {
        let local = ("host", "127.0.0.1:8081");
        assert_eq!(status_of(&[local], "/").await, StatusCode::OK);
        for foreign in
            [("host", "example.com"), ("origin", "https://example.com"), ("via", "1.1 proxy")]
        {
            let headers = if foreign.0 == "host" { vec![foreign] } else { vec![local, foreign] };
            assert_eq!(status_of(&headers, "/").await, StatusCode::FORBIDDEN, "{foreign:?}");
        }
    }

    #[tokio::test]
    async fn a_change_that_a_form_could_send_is_refused() {
        let local = ("host", "127.0.0.1:8081");
        for method in ["POST", "PUT", "PATCH"] {
            for kind in ["text/plain", "application/x-www-form-urlencoded", "", "application/jso"] {
                let status = status_of_method(method, &[local, ("content-type", kind)], "/").await;
                assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{method} {kind}");
            }
            let json = ("content-type", "application/json");
            for headers in [&[local][..], &[local, json, ("content-type", "a/b")]] {
                let status = status_of_method(method, headers, "/").await;
                assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{method}");
            }
            for kind in ["application/json", "Application/JSON; charset=utf-8"] {
                let status = status_of_method(method, &[local, ("content-type", kind)], "/").await;
                assert_eq!(status, StatusCode::OK, "{method} {kind}");
            }
        }
    }

    #[tokio::test]
    async fn a_panic_is_answered_as_a_problem_with_the_headers_of_every_answer() {
        async fn fail() -> &'static str {
            panic!("private")
        }
        let router = guarded(Router::new().route("/", get(fail)));
        let request = axum::http::Request::get("/").header("host", "localhost");
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[tokio::test]
    async fn requests_beyond_the_limit_wait() {
        let (active, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let work = async move || {
            seen.fetch_max(active.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            active.fetch_sub(1, Ordering::Relaxed);
        };
        let router = guarded(Router::new().route("/", get(work)));
        let requests = (0..REQUESTS_MAX * 2).map(|_| {
            let request = axum::http::Request::get("/").header("host", "localhost");
            router.clone().oneshot(request.body(Body::empty()).unwrap())
        });
        for answer in futures_util::future::join_all(requests).await {
            assert_eq!(answer.unwrap().status(), StatusCode::OK);
        }
        assert_eq!(most.load(Ordering::Relaxed), REQUESTS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_wait_hold_up_neither_reads_nor_each_other() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&waiting);
        let wait = async move |Extension(WaitTimeout(patience)): Extension<WaitTimeout>| {
            seen.fetch_add(usize::from(!patience.is_zero()), Ordering::Relaxed);
            tokio::time::sleep(patience).await;
        };
        let router = guarded(Router::new().route("/", get(|| async { "fine" }).post(wait)));
        let ask = |method| {
            let request = axum::http::Request::builder().method(method).uri("/");
            let request = request.header("host", "localhost").header("content-type", JSON);
            router.clone().oneshot(request.body(Body::empty()).unwrap())
        };
        let mut changes = futures_util::future::join_all((0..CHANGES_MAX * 4).map(|_| ask("POST")));
        tokio::select! {
            biased;
            _ = &mut changes => panic!("none waited"),
            answer = ask("GET") => assert_eq!(answer.unwrap().status(), StatusCode::OK),
        }
        assert_eq!(waiting.load(Ordering::Relaxed), CHANGES_MAX / 2);
        for answer in changes.await {
            assert_eq!(answer.unwrap().status(), StatusCode::OK);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_broker_is_not_called_the_store() {
        let ask = || async {
            let never = std::future::pending::<Result<&'static str, BrokerError>>();
            in_time(never).await.map_err(Problem::from)
        };
        let router = guarded(Router::new().route("/", get(ask)));
        let request = axum::http::Request::get("/").header("host", "localhost");
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "broker.unavailable");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered_503() {
        let router = guarded(Router::new().route("/", get(std::future::pending::<&'static str>)));
        let request = axum::http::Request::get("/").header("host", "localhost");
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
