//! Idle connections that use up the server's connection slots.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{END_CONNECTIONS, Postgres, ROLE, wait};

/// The role that opens the idle connections.
pub const CROWD: &str = "crowd";
/// The error code for too many connections: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
const TOO_MANY: &str = "53300";

/// Holds idle connections open for its lifetime.
pub struct Crowd {
    held: Vec<UnixStream>,
}

impl Crowd {
    pub fn len(&self) -> usize {
        self.held.len()
    }
}

/// Why a server refuses a connection.
#[derive(Debug)]
pub enum Refused {
    /// The server reports that no slot is free.
    Full,
    /// The server reports another error, given by its code.
    Otherwise(String),
    /// The server does not answer or is unreachable.
    Broken(io::Error),
}

impl From<io::Error> for Refused {
    fn from(cause: io::Error) -> Self {
        Self::Broken(cause)
    }
}

impl Postgres {
    /// Takes every connection slot that is not reserved for superusers. Terminates the connections of the role that
    /// owns the database to get theirs.
    pub fn take_all_connections(&self) -> Crowd {
        let mut held = Vec::new();
        wait("all connections are taken", || {
            // Clients that retry can briefly take even the slot reserved for superusers.
            let ended = self.try_sql(END_CONNECTIONS);
            loop {
                match self.connect(Duration::from_secs(30)) {
                    Ok(connection) => held.push(connection),
                    Err(Refused::Full) => break,
                    Err(other) => panic!("{other:?}"),
                }
            }
            // A connection during authentication holds a slot but appears in no view.
            let all = "SELECT current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer";
            let all = self.try_sql(all);
            ended.is_ok() && all.is_ok_and(|all| all == held.len().to_string())
        });
        Crowd { held }
    }

    /// Opens one idle connection. A hung server makes it fail after `patience`.
    pub fn connect(&self, patience: Duration) -> Result<UnixStream, Refused> {
        let socket = format!(".s.PGSQL.{}", self.port);
        connect(&self.folder.path().join(socket), patience)
    }
}

/// Connects as a trusted role: the part of <https://www.postgresql.org/docs/current/protocol-flow.html> that this
/// needs.
fn connect(socket: &Path, patience: Duration) -> Result<UnixStream, Refused> {
    let mut connection = UnixStream::connect(socket)?;
    connection.set_read_timeout(Some(patience))?;
    let mut words = Vec::from(196_608_u32.to_be_bytes());
    for word in ["user", CROWD, "database", ROLE, ""] {
        words.extend_from_slice(word.as_bytes());
        words.push(0);
    }
    let length = u32::try_from(words.len() + 4).unwrap();
    connection.write_all(&[&length.to_be_bytes()[..], &words].concat())?;
    loop {
        let mut head = [0; 5];
        connection.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; length as usize - 4];
        connection.read_exact(&mut body)?;
        match head[0] {
            // Ready for a query, which is never sent.
            b'Z' => return Ok(connection),
            b'E' => {
                let fields = body.split(|byte| *byte == 0);
                let mut codes = fields.filter_map(|field| field.strip_prefix(b"C"));
                let code = String::from_utf8_lossy(codes.next().unwrap_or_default()).into_owned();
                return Err(if code == TOO_MANY {
                    Refused::Full
                } else {
                    Refused::Otherwise(code)
                });
            }
            _ => {}
        }
    }
}
