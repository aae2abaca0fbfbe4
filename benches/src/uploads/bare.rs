//! The least that a handler of the web framework can do with a body, in a process of its own like the measured program.

use std::fmt;
use std::io::{Write, stdout};

use actix_web::web::{Data, Payload, block};
use actix_web::{App, HttpResponse, HttpServer, web};
use futures::StreamExt;
use tempfile::tempfile_in;

use crate::error::{BenchError, io};

/// Serve uploads as a bare handler, from the working directory
#[derive(Debug, clap::Args)]
pub struct BareArgs {
    #[arg(value_enum)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Write the body to a file, and fsync it
    Store,
    /// Read the body, and keep nothing
    Discard,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "store",
            Self::Discard => "discard",
        })
    }
}

/// Prints its address, then serves until it is ended.
///
/// # Errors
/// If it can't listen.
pub async fn run(args: &BareArgs) -> Result<(), BenchError> {
    let kind = args.kind;
    let app = move || App::new().app_data(Data::new(kind)).default_service(web::put().to(take));
    let server = HttpServer::new(app).bind("127.0.0.1:0").map_err(io("a port"))?;
    for address in server.addrs() {
        writeln!(stdout(), "{address}").map_err(io("the address"))?;
    }
    server.run().await.map_err(io("a server"))
}

/// Each body has a file of its own, which is gone with the answer.
async fn take(kind: Data<Kind>, mut body: Payload) -> actix_web::Result<HttpResponse> {
    let mut file = match **kind {
        Kind::Store => Some(tempfile_in(".")?),
        Kind::Discard => None,
    };
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if let Some(file) = &mut file {
            file.write_all(&chunk)?;
        }
    }
    if let Some(file) = file {
        // Elsewhere, so that the bodies of other connections are read meanwhile.
        block(move || file.sync_all()).await??;
    }
    Ok(HttpResponse::Accepted().body(r#"{"id":"0"}"#))
}
