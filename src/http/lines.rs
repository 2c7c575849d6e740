//! Refuses heads with lines that end with a bare LF.
//!
//! hyper takes a bare LF for the end of a line, and a proxy in front may take it for a part of a
//! header: the two would see different requests. hyper has no option against it. So the bytes pass
//! here first: a bare LF in a head becomes a NUL, which is valid nowhere in it, and hyper answers
//! 400 and closes the connection.
//!
//! To find the heads, bodies are skipped by their `Content-Length` or their chunks, as RFC 9112
//! frames them. A framing that is written in an unusual way is spoilt in the same manner rather
//! than guessed at.

/// How much of each line is kept: enough for the name and value of `Content-Length`.
const KEPT_BYTES_MAX: usize = 64;
/// What a line that must be refused ends with.
const SPOILT: u8 = 0;

/// What has passed of one connection's requests.
#[derive(Debug, Default)]
pub(super) struct Lines {
    at: At,
    /// The beginning of the current line.
    line: Vec<u8>,
    /// The last byte of the current line.
    last: u8,
    /// Whether the head has a line already.
    begun: bool,
    /// What follows the head, as its lines so far say.
    body: Framing,
}

#[derive(Debug, Clone, Copy, Default)]
enum At {
    #[default]
    Head,
    /// So many bytes before the next head.
    Body(u64),
    /// The line with the size of a chunk.
    Chunk,
    /// So many bytes, with the CRLF after them, before the next chunk.
    ChunkData(u64),
    Trailers,
}

#[derive(Debug, Clone, Copy, Default)]
enum Framing {
    #[default]
    Nothing,
    Length(u64),
    Chunked,
}

impl Lines {
    /// Follows bytes as they were read, and spoils what must not be accepted.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let skipped = match &mut self.at {
                At::Body(left) | At::ChunkData(left) => {
                    let skipped =
                        usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                    *left -= skipped as u64;
                    skipped
                }
                At::Head | At::Chunk | At::Trailers => self.pass_line(bytes),
            };
            match self.at {
                At::Body(0) => self.at = At::Head,
                At::ChunkData(0) => self.at = At::Chunk,
                At::Head | At::Body(_) | At::Chunk | At::ChunkData(_) | At::Trailers => {}
            }
            bytes = bytes.get_mut(skipped..).unwrap_or_default();
        }
    }

    /// Passes what there is of one line; returns how much that was.
    fn pass_line(&mut self, bytes: &mut [u8]) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let text = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = KEPT_BYTES_MAX - self.line.len();
        self.line.extend_from_slice(text.get(..room).unwrap_or(text));
        self.last = text.last().copied().unwrap_or(self.last);
        let Some(end) = end else { return bytes.len() };
        let is_fine = self.last == b'\r' && self.end_line().is_some();
        if let (false, Some(byte)) = (is_fine, bytes.get_mut(end)) {
            *byte = SPOILT;
        }
        self.line.clear();
        self.last = 0;
        end + 1
    }

    /// Takes in a line that has ended with CRLF; `None` if its framing is not understood.
    fn end_line(&mut self) -> Option<()> {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        match self.at {
            At::Head if line.is_empty() => {
                // Empty lines before a head are skipped by hyper too.
                if std::mem::take(&mut self.begun) {
                    self.at = match std::mem::take(&mut self.body) {
                        Framing::Nothing => At::Head,
                        Framing::Length(bytes) => At::Body(bytes),
                        Framing::Chunked => At::Chunk,
                    };
                }
            }
            At::Head => {
                self.begun = true;
                if value_of(line, b"transfer-encoding:").is_some() {
                    self.body = Framing::Chunked;
                } else if let Some(length) = value_of(line, b"content-length:") {
                    let length = (line.len() < KEPT_BYTES_MAX).then(|| number(length, 10))??;
                    if !matches!(self.body, Framing::Chunked) {
                        self.body = Framing::Length(length);
                    }
                }
            }
            At::Chunk => {
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let size = (digits < KEPT_BYTES_MAX).then(|| number(line.get(..digits)?, 16))??;
                self.at = match size.checked_add(2)? {
                    2 => At::Trailers,
                    with_end => At::ChunkData(with_end),
                };
            }
            At::Trailers if line.is_empty() => self.at = At::Head,
            At::Trailers | At::Body(_) | At::ChunkData(_) => {}
        }
        Some(())
    }
}

fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// The number that a text consists of, without signs.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    let text = str::from_utf8(text.trim_ascii()).ok()?;
    let is_digit = |c: char| c.is_digit(radix);
    text.chars().all(is_digit).then(|| u64::from_str_radix(text, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a text that comes in pieces of so many bytes.
    fn passed(text: &str, piece: usize) -> String {
        let (mut lines, mut bytes) = (Lines::default(), text.as_bytes().to_vec());
        bytes.chunks_mut(piece).for_each(|piece| lines.pass(piece));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn well_formed_requests_pass_as_they_are() {
        let text = "\r\nPOST / HTTP/1.1\r\nContent-Length:  5 \r\nA: b\r\n\r\na\nb\r\n\
                    GET / HTTP/1.1\r\n\r\n\
                    POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n\
                    3;x=y\r\n\n\n\n\r\nA\r\n0123456\n89\r\n0\r\ntrailer: x\r\n\r\n\
                    POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n\
                    GET / HTTP/1.1\r\n\r\n";
        for piece in 1..=text.len() {
            assert_eq!(passed(text, piece), text, "{piece}");
        }
    }

    #[test]
    fn a_bare_line_feed_is_spoilt_in_every_head() {
        let before = [
            "",
            "\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\na\nb",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\n",
        ];
        for before in before {
            for (head, spoilt) in [
                ("GET / HTTP/1.1\n\r\n", "GET / HTTP/1.1\0\r\n"),
                ("GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", "GET / HTTP/1.1\r\na: b\0c: d\r\n\r\n"),
                ("GET / HTTP/1.1\r\na: b\r\n\n", "GET / HTTP/1.1\r\na: b\r\n\0"),
                ("\nGET / HTTP/1.1\r\n\r\n", "\0GET / HTTP/1.1\r\n\r\n"),
            ] {
                for piece in 1..=before.len() + head.len() {
                    let text = format!("{before}{head}");
                    assert_eq!(passed(&text, piece), format!("{before}{spoilt}"), "{piece}");
                }
            }
        }
    }

    #[test]
    fn a_framing_that_is_not_understood_is_spoilt() {
        let padded = format!("content-length: {}5", " ".repeat(100));
        let zeros = "0".repeat(64);
        let long = format!("content-length: {zeros}5");
        let lines =
            [&padded, &long, "content-length: +5", "content-length: 5, 5", "Content-Length:"];
        for line in lines {
            let text = format!("POST / HTTP/1.1\r\n{line}\r\n\r\n");
            let spoilt = format!("POST / HTTP/1.1\r\n{line}\r\0\r\n");
            assert_eq!(passed(&text, 7), spoilt);
        }
        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        for size in ["x", "", "-1", &format!("{zeros}5"), "fffffffffffffffff"] {
            let spoilt = format!("{head}{size}\r\0");
            assert_eq!(passed(&format!("{head}{size}\r\n"), 7), spoilt, "{size}");
        }
    }
}
