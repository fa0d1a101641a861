//! Connections that do nothing but take up room.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{END_CONNECTIONS, Postgres, ROLE, wait};

/// The role of the connections.
pub const CROWD: &str = "crowd";
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
const TOO_MANY: &str = "53300";

/// Holds the connections for as long as it lives.
pub struct Crowd {
    held: Vec<UnixStream>,
}

impl Crowd {
    pub fn len(&self) -> usize {
        self.held.len()
    }
}

/// Why a server does not take a connection.
#[derive(Debug)]
pub enum Refused {
    /// It says that there is no room.
    Full,
    /// It says something else: a code.
    Otherwise(String),
    /// It says nothing, or is not there.
    Broken(io::Error),
}

impl From<io::Error> for Refused {
    fn from(cause: io::Error) -> Self {
        Self::Broken(cause)
    }
}

impl Postgres {
    /// Takes every connection that there is for anybody but superusers: those of the role that owns the
    /// database too, which are ended for it.
    pub fn take_all_connections(&self) -> Crowd {
        let mut held = Vec::new();
        wait("all connections are taken", || {
            // Others that try again and again may have even the superuser's for a moment.
            let ended = self.try_sql(END_CONNECTIONS);
            loop {
                match self.connect(Duration::from_secs(30)) {
                    Ok(connection) => held.push(connection),
                    Err(Refused::Full) => break,
                    Err(other) => panic!("{other:?}"),
                }
            }
            // One that is still being let in is shown nowhere, and has its place.
            let all = "SELECT current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer";
            let all = self.try_sql(all);
            ended.is_ok() && all.is_ok_and(|all| all == held.len().to_string())
        });
        Crowd { held }
    }

    /// One connection that does nothing. With a server that hangs it takes that long to fail.
    pub fn connect(&self, patience: Duration) -> Result<UnixStream, Refused> {
        let socket = format!(".s.PGSQL.{}", self.port);
        connect(&self.folder.path().join(socket), patience)
    }
}

/// <https://www.postgresql.org/docs/current/protocol-flow.html>, as far as a role that is trusted needs it.
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
            // Ready for a query, which never comes.
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
