//! `health`: checks whether a running process is ready.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Response, Url, redirect};
use serde::Serialize;

use super::ExitStatus;
use super::output::Output;
use crate::domain::printable;
use crate::health::NotReady;
use crate::health::probes::ProbeAnswer;

/// How long the process may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The answer.
#[derive(Debug, Serialize)]
struct Verdict {
    url: String,
    /// The HTTP status.
    code: u16,
    /// The status that a probe answers; `None` if the answer is not a probe's.
    status: Option<String>,
    reasons: Vec<NotReady>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<NotReady>,
}

/// The address of the probes of a process on this machine that listens there.
pub(super) fn configured(mut listen: SocketAddr) -> anyhow::Result<Url> {
    if listen.port() == 0 {
        anyhow::bail!("probes.listen has port 0: the system chooses the port; give --url");
    }
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Url::parse(&format!("http://{listen}")).context("probes.listen is not an address")
}

/// Requests the address, or its `/readyz` if it has no path.
pub async fn run(mut url: Url, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    if url.path() == "/" {
        url.set_path("/readyz");
    }
    let shown = without_login(&url);
    // The process is nearby: neither a proxy nor a redirect may answer for it.
    let client = Client::builder().timeout(ANSWER_TIMEOUT).redirect(redirect::Policy::none());
    let client = client.no_proxy().build().context("cannot set up the HTTP client")?;
    let (is_good, verdict) = match ask(&client, url, &shown).await {
        Ok(answer) => answer,
        Err(error) => {
            // The outer errors only name the request.
            let error = anyhow::Error::from(error);
            output.say(format_args!("cannot reach {shown}: {}", error.root_cause()))?;
            return Ok(ExitStatus::Unreachable);
        }
    };
    output.show(&verdict, write_verdict)?;
    if !is_good && verdict.status.is_none() {
        output.say("this is not a probe: is it the address of `probes.listen`?")?;
    }
    Ok(if is_good { ExitStatus::Done } else { ExitStatus::NotHeld })
}

/// The address without a password that it may have.
fn without_login(url: &Url) -> String {
    let mut url = url.clone();
    // Only addresses without a host have no login to remove.
    url.set_username("").ok();
    url.set_password(None).ok();
    url.to_string()
}

async fn ask(client: &Client, url: Url, shown: &str) -> reqwest::Result<(bool, Verdict)> {
    let mut response = client.get(url).send().await?;
    let code = response.status();
    // The answer of another server is judged by its status alone.
    let probe = serde_json::from_slice::<ProbeAnswer>(&read_bounded(&mut response).await?).ok();
    let (status, reasons, warnings) = match probe {
        Some(probe) => (Some(probe.status), probe.reasons, probe.warnings),
        None => (None, Vec::new(), Vec::new()),
    };
    let verdict = Verdict { url: shown.to_owned(), code: code.as_u16(), status, reasons, warnings };
    Ok((code.is_success(), verdict))
}

async fn read_bounded(response: &mut Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn write_verdict(verdict: &Verdict, output: &mut Output<'_>) -> io::Result<()> {
    match &verdict.status {
        Some(status) => writeln!(output.out, "{}", printable(status, false))?,
        None => writeln!(output.out, "HTTP status {}", verdict.code)?,
    }
    for NotReady { code, detail } in &verdict.reasons {
        let reason = format!("{code}: {detail}");
        writeln!(output.out, "{}", printable(&reason, false))?;
    }
    for NotReady { code, detail } in &verdict.warnings {
        let warning = format!("warning: {code}: {detail}");
        writeln!(output.out, "{}", printable(&warning, false))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_address_is_one_that_can_be_asked() {
        for (listen, url) in [
            ("127.0.0.1:8082", "http://127.0.0.1:8082/"),
            ("0.0.0.0:9000", "http://127.0.0.1:9000/"),
            ("[::]:9000", "http://[::1]:9000/"),
        ] {
            assert_eq!(configured(listen.parse().unwrap()).unwrap().as_str(), url);
        }
        let error = configured("127.0.0.1:0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("--url"), "{error}");
    }

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        let url = "http://anna:hush@127.0.0.1:8082/readyz".parse().unwrap();
        assert_eq!(without_login(&url), "http://127.0.0.1:8082/readyz");
    }
}
