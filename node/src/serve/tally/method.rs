//! What requests ask for and how they end, as figures know it.

use aidb_client::error::code_of;
use aidb_client::pb::ErrorCode;
use aidb_client::pb::pipeline_request::Request as Asked;
use aidb_client::pb::pipeline_response::Response as Answered;
use http::HeaderMap;
use tonic::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Put,
    Delete,
    BatchGet,
    BatchPut,
    Scan,
    /// The stream; each of its requests counts as well.
    Pipeline,
    /// Of every other service.
    Other,
}

impl Method {
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::BatchGet,
        Self::BatchPut,
        Self::Scan,
        Self::Pipeline,
        Self::Other,
    ];

    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/aidb.v1.Storage/") {
            Some("Get") => Self::Get,
            Some("Put") => Self::Put,
            Some("Delete") => Self::Delete,
            Some("BatchGet") => Self::BatchGet,
            Some("BatchPut") => Self::BatchPut,
            Some("Scan") => Self::Scan,
            Some("Pipeline") => Self::Pipeline,
            _ => Self::Other,
        }
    }

    pub fn asked(asked: &Asked) -> Self {
        match asked {
            Asked::Get(_) => Self::Get,
            Asked::Put(_) => Self::Put,
            Asked::Delete(_) => Self::Delete,
            Asked::BatchGet(_) => Self::BatchGet,
            Asked::BatchPut(_) => Self::BatchPut,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "Get",
            Self::Put => "Put",
            Self::Delete => "Delete",
            Self::BatchGet => "BatchGet",
            Self::BatchPut => "BatchPut",
            Self::Scan => "Scan",
            Self::Pipeline => "Pipeline",
            Self::Other => "Other",
        }
    }

    /// A request of data: it is timed.
    pub fn is_request(self) -> bool {
        !matches!(self, Self::Pipeline | Self::Other)
    }
}

/// How a request ended: the number of its `ErrorCode`, or one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(u8);

impl Code {
    pub const OK: Self = Self(0);
    /// An error that is none of ours: gRPC's own.
    pub const TRANSPORT: Self = Self(126);
    /// Its client did not wait for the answer.
    pub const CANCELLED: Self = Self(127);
    pub const COUNT: usize = 128;

    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// None: no request ends so.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::OK => Some("OK"),
            Self::TRANSPORT => Some("TRANSPORT"),
            Self::CANCELLED => Some("CANCELLED"),
            Self(number) => ErrorCode::try_from(i32::from(number))
                .ok()
                .map(|code| code.as_str_name()),
        }
    }

    pub fn of(code: i32) -> Self {
        match u8::try_from(code) {
            Ok(number) if number > 0 && number < Self::TRANSPORT.0 => Self(number),
            _ => Self::TRANSPORT,
        }
    }

    /// By the headers of an answer that has no body, or by its trailers.
    pub fn shown(headers: &HeaderMap) -> Self {
        match headers.get(Status::GRPC_STATUS) {
            None => Self::OK,
            Some(status) if status.as_bytes() == b"0" => Self::OK,
            Some(_) => {
                let status = Status::from_header_map(headers);
                status.map_or(Self::TRANSPORT, |status| Self::of(code_of(&status).into()))
            }
        }
    }

    pub fn answered(answer: &Answered) -> Self {
        match answer {
            Answered::Error(error) => Self::of(error.code),
            _ => Self::OK,
        }
    }
}

#[cfg(test)]
mod tests {
    use aidb_client::error::refuse;

    use super::*;

    fn shown(status: Status) -> Option<&'static str> {
        let response: http::Response<tonic::body::Body> = status.into_http();
        Code::shown(response.headers()).name()
    }

    #[test]
    fn every_error_code_has_a_place_of_its_own() {
        for number in 1..200 {
            if let Ok(code) = ErrorCode::try_from(number) {
                assert_eq!(Code::of(number).name(), Some(code.as_str_name()));
            }
        }
        assert_eq!(Code::of(0), Code::TRANSPORT);
        assert_eq!(Code::of(500), Code::TRANSPORT);
    }

    #[test]
    fn an_answer_shows_how_its_request_ended() {
        assert_eq!(Code::shown(&HeaderMap::new()), Code::OK);
        assert_eq!(shown(Status::ok("")), Some("OK"));
        assert_eq!(shown(refuse(ErrorCode::Busy, "x")), Some("BUSY"));
        assert_eq!(shown(Status::internal("x")), Some("TRANSPORT"));
    }

    #[test]
    fn methods_are_those_of_the_contract() {
        for method in Method::ALL {
            let path = format!("/aidb.v1.Storage/{}", method.name());
            assert_eq!(Method::of(&path), method);
        }
        assert_eq!(Method::of("/aidb.v1.Node/Get"), Method::Other);
    }
}
