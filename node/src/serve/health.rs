//! grpc.health.v1: what probes ask.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

const STORAGE_SERVICE: &str = "aidb.v1.Storage";

/// True as long as the process answers at all: what restarts a container must not ask for more.
const LIVENESS: &str = "liveness";

/// One status for the server as a whole and for Storage, shared by all serving threads; and `liveness`.
#[derive(Clone, Default)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    pub async fn alive(&self) {
        self.reporter
            .set_service_status(LIVENESS, ServingStatus::Serving)
            .await;
    }

    pub async fn set(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in ["", STORAGE_SERVICE] {
            self.reporter.set_service_status(service, status).await;
        }
    }

    pub fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}
