//! The configuration files of one server and one agent under one folder.

use super::Options;
use std::path::Path;

pub(super) fn server_conf(folder: &Path, port: u16, options: &Options) -> String {
    format!(
        r#"server {{
    trust_domain = "{trust_domain}"
    bind_address = "127.0.0.1"
    bind_port = "{port}"
    socket_path = "{folder}/server/api.sock"
    data_dir = "{folder}/server"
    log_level = "INFO"
    ca_ttl = "24h"
    default_x509_svid_ttl = "{ttl}s"
    experimental {{ cache_reload_interval = "1s" }}
}}
plugins {{
    DataStore "sql" {{ plugin_data {{
        database_type = "sqlite3"
        connection_string = "{folder}/server/datastore.sqlite3"
    }} }}
    KeyManager "disk" {{ plugin_data {{ keys_path = "{folder}/server/keys.json" }} }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"#,
        trust_domain = options.trust_domain,
        folder = folder.display(),
        ttl = options.x509_svid_ttl.as_secs(),
    )
}

pub(super) fn agent_conf(folder: &Path, port: u16, join_token: &str, options: &Options) -> String {
    format!(
        r#"agent {{
    trust_domain = "{trust_domain}"
    server_address = "127.0.0.1"
    server_port = "{port}"
    socket_path = "{folder}/agent/public/api.sock"
    admin_socket_path = "{folder}/agent/private/admin.sock"
    authorized_delegates = ["spiffe://{trust_domain}{broker}"]
    trust_bundle_path = "{folder}/boot.pem"
    data_dir = "{folder}/agent/data"
    join_token = "{join_token}"
    log_level = "INFO"
    experimental {{
        sync_interval = "1s"
        broker {{
            socket_path = "{folder}/agent/broker/broker.sock"
            brokers = [ {{
                id = "spiffe://{trust_domain}{broker}"
                allowed_reference_types = [
                    {{ type_url = "type.googleapis.com/spiffe.broker.WorkloadPIDReference" }}
                ]
            }} ]
        }}
    }}
}}
plugins {{
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "disk" {{ plugin_data {{ directory = "{folder}/agent/data" }} }}
    WorkloadAttestor "unix" {{ plugin_data {{
        discover_workload_path = true
        workload_size_limit = {size_limit}
    }} }}
}}
"#,
        trust_domain = options.trust_domain,
        broker = options.broker_path,
        folder = folder.display(),
        size_limit = options.workload_size_limit,
    )
}
