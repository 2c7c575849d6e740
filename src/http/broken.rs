//! What a client is told when its request cannot be read.
//!
//! Such a request reaches no route: hyper answers it by itself, with a head and no body, and has
//! no hook to say more. Here that bare head is found in what hyper writes and becomes a problem
//! with the code `request.invalid`, like every other error. It is always the last thing that is
//! written on its connection. If hyper one day writes it in another form, it stays bare.

use axum::http::StatusCode;
use bytes::{BufMut, Bytes, BytesMut};

use super::problem::{Problem, ProblemCode};

/// The most that such a head takes, in bytes.
const BARE_HEAD_BYTES_MAX: usize = 256;
/// The header that says that nothing follows; no answer of ours to these statuses has it.
const NOTHING_FOLLOWS: &str = "content-length: 0";

/// Where the bare head of an error begins, if `written` ends with one.
pub(super) fn bare_head(written: &[u8]) -> Option<usize> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let tail = written.len().saturating_sub(BARE_HEAD_BYTES_MAX);
    let begin = written.get(tail..)?.windows(7).rposition(|part| part == b"HTTP/1.")?;
    let head = written.get(tail + begin..)?;
    read(head).map(|_| tail + begin)
}

/// The whole answer for a bare head: the same status and headers, and a problem.
pub(super) fn with_problem(bare: &[u8]) -> Option<Bytes> {
    let (status, head) = read(bare)?;
    let problem = Problem::new(ProblemCode::RequestInvalid, "the request is not valid HTTP");
    let body = problem.body_with_status(status);
    let mut answer = BytesMut::with_capacity(head.len() + body.len() + BARE_HEAD_BYTES_MAX);
    for line in head.trim_end().split("\r\n").filter(|line| *line != NOTHING_FOLLOWS) {
        answer.put(line.as_bytes());
        answer.put(&b"\r\n"[..]);
    }
    answer.put(&b"content-type: application/problem+json\r\n"[..]);
    answer.put(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    answer.put(body.as_slice());
    Some(answer.freeze())
}

/// The status of a bare head of an error, and the head as text.
fn read(head: &[u8]) -> Option<(StatusCode, &str)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let (_, status) = lines.next()?.split_once(' ')?;
    let status = match status.split_once(' ')?.0 {
        "400" => StatusCode::BAD_REQUEST,
        "414" => StatusCode::URI_TOO_LONG,
        "431" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => return None,
    };
    lines.any(|line| line == NOTHING_FOLLOWS).then_some((status, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
        connection: close\r\ncontent-length: 0\r\ndate: Mon, 23 Nov 2026 10:00:00 GMT\r\n\r\n";

    #[test]
    fn a_bare_head_is_found_behind_an_earlier_answer() {
        let earlier = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let written = [earlier, BARE].concat();
        assert_eq!(bare_head(&written), Some(earlier.len()));
        assert_eq!(bare_head(BARE), Some(0));
    }

    #[test]
    fn other_answers_are_left_alone() {
        let others: [&[u8]; 5] = [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n{}",
            b"\r\n\r\n",
        ];
        for other in others {
            assert_eq!(bare_head(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_bare_head_becomes_a_problem() {
        let answer = with_problem(BARE).unwrap();
        let text = std::str::from_utf8(&answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
        assert!(!head.contains(NOTHING_FOLLOWS), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "request.invalid");
        assert_eq!(body["status"], 431);
    }
}
