//! The SQL Server of the mirrors, looked at once in the beginning: what is wrong with it is best known before the first
//! cycle. The server takes calls all the same: each tells for itself, and the server may be back by then.

use mirrorlab_engines::mssql::{Address, Server};
use mirrorlab_server::store::mssql::MssqlOptions;

/// Connects once and logs what is there, or why it cannot be reached.
pub(super) fn look_at(address: &Address, options: &MssqlOptions) {
    if !address.encrypt {
        tracing::warn!(
            server = address.server(),
            "the connection is not encrypted, as its encrypt=false says: the password and every row are readable on the \
             network"
        );
    } else if address.trust_server_certificate {
        tracing::warn!(
            server = address.server(),
            "any certificate is taken for the server's, as trust-server-certificate=true says"
        );
    }
    match Server::new(address.clone(), options.server).capabilities() {
        Ok(found) => tracing::info!(
            server = address.server(),
            login = address.user,
            engine = found.engine,
            version = found.version,
            "mirrors are databases of this SQL Server"
        ),
        Err(error) => tracing::error!(
            %error,
            "the SQL Server of the mirrors cannot be used now; calls are refused until it can"
        ),
    }
}
