//! `Pipeline`: many requests on one stream, answered in any order, each as if it had come alone. What a unary call pays
//! for its own HTTP/2 stream and headers is paid once.
//!
//! The stream of answers is what reads the requests: one that needs to wait for nothing is answered on the spot, without
//! a task, a channel or memory of its own; the others are polled together. (A task that reads and a channel of answers
//! cost more than most reads do.) Puts that have come one after another may be gathered and begun together, and so are
//! gets: what has arrived is read from the stream first. Neither waits for more to come.
//!
//! Bounded: `INSIDE` requests of a stream are inside at a time, until the kernel has their answers, fewer of many streams:
//! together they take half of what the node lets in, so that none of them is refused for the others' sake. While there are
//! so many, the stream is not read, and flow control holds the client back: a refusal costs as much as a put. So a request
//! that others may wait for (see [`Requests::SHARED`]) goes on in a task of its own. A request counts, is limited and
//! drained as if it had come alone. The stream ends when the client has ended its side and all is answered, or when the
//! node stops.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aidb_client::error::{error, refuse, reported};
use aidb_client::pb::pipeline_request::Request as Asked;
use aidb_client::pb::pipeline_response::Response as Answered;
use aidb_client::pb::storage_server::Storage;
use aidb_client::pb::{self, ErrorCode};
use futures_util::stream::{FuturesUnordered, SelectAll};
use slab::Slab;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::admission::{Inside, busy};
use super::answers::{Collecting, Parcel, Unsent, hold};
use super::node::Node;
use super::observed::{Headed, Seen};
use super::origin::Origin;
use super::places::Place;
use super::security::Caller;
use super::tally::{Code, Course, Method, Tally};

const INSIDE: usize = 256;
/// Of one among ever so many streams.
const LEAST_INSIDE: usize = 16;
/// Gets that are begun together at most.
const TOGETHER: usize = 64;

type Answers = Pin<Box<dyn Stream<Item = Result<pb::PipelineResponse, Status>> + Send>>;
/// Answers to puts by their ids, as they come.
pub type Puts = Pin<Box<dyn Stream<Item = Vec<(u64, Result<pb::PutResponse, Status>)>> + Send>>;
pub type Later<T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>;

/// What became of a request.
pub enum Answer<T> {
    Now(Result<T, Status>),
    Later(Later<T>),
}

impl<T> Answer<T> {
    pub async fn wait(self) -> Result<T, Status> {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer) => answer.await,
        }
    }
}

/// Gets by their ids, as they came.
pub type Gets = Vec<(u64, pb::GetRequest)>;

/// What became of a get among others.
pub struct Begun {
    pub id: u64,
    pub answer: Answer<pb::GetResponse>,
    /// What an answer that is there holds of the limits until it has left.
    pub inside: Option<Inside>,
}

/// The requests that pipelines carry; without more, each is done by the handler of its unary call.
pub trait Requests: Storage + Clone + Unpin {
    /// Requests of other clients may wait for what one of these does.
    const SHARED: bool;
    /// Puts that are begun together.
    type Run: Default + Send + Unpin;

    fn begin_get(&self, from: Origin, asked: pb::GetRequest) -> Answer<pb::GetResponse> {
        let (me, request) = (self.clone(), from.request(asked));
        later(async move { me.get(request).await })
    }

    /// Begins gets that have arrived together, and tells what became of each.
    fn begin_gets(&self, from: Origin, gets: Gets, tell: &mut impl FnMut(Begun)) {
        for (id, asked) in gets {
            tell(Begun {
                id,
                answer: self.begin_get(from, asked),
                inside: None,
            });
        }
    }

    fn begin_put(&self, from: Origin, asked: pb::PutRequest) -> Answer<pb::PutResponse> {
        let (me, request) = (self.clone(), from.request(asked));
        later(async move { me.put(request).await })
    }

    /// Adds a put to `run`, or begins it by itself.
    fn gather(
        &self,
        from: Origin,
        _id: u64,
        asked: pb::PutRequest,
        _run: &mut Self::Run,
    ) -> Option<Answer<pb::PutResponse>> {
        Some(self.begin_put(from, asked))
    }

    fn begin_run(&self, _run: Self::Run) -> Puts {
        Box::pin(tokio_stream::empty())
    }
}

fn later<T>(
    answer: impl Future<Output = Result<Response<T>, Status>> + Send + 'static,
) -> Answer<T> {
    Answer::Later(Box::pin(async { answer.await.map(Response::into_inner) }))
}

/// The answers to `requests` by `service`.
pub fn pipeline<S: Requests>(
    service: S,
    node: &Arc<Node>,
    requests: Request<Streaming<pb::PipelineRequest>>,
) -> Result<Answers, Status> {
    let from = Origin {
        peer: Origin::of(&requests).peer,
        timeout_ms: None,
    };
    let place = node
        .places
        .pipelines
        .take(from.peer)
        .ok_or_else(|| busy("all pipelines are taken"))?;
    let stopping = Arc::clone(node);
    let extensions = requests.extensions();
    let tally = extensions.get::<Arc<Tally>>().cloned();
    Ok(Box::pin(Pipeline {
        service,
        from,
        caller: extensions.get::<Caller>().cloned(),
        tally: tally.ok_or_else(|| Status::internal("nobody counts requests on this thread"))?,
        open: Slab::new(),
        requests: requests.into_inner(),
        under_way: FuturesUnordered::new(),
        gets: Gets::new(),
        run: S::Run::default(),
        gathered: 0,
        runs: SelectAll::new(),
        in_runs: 0,
        told: VecDeque::new(),
        unsent: Arc::default(),
        reading: true,
        stopping: Box::pin(async move { stopping.stopping().await }),
        farewell: None,
        node: Arc::clone(node),
        _place: place,
    }))
}

/// A request that has no answer.
struct Open {
    /// As its client knows it.
    id: u64,
    method: Method,
    course: Course,
}

struct Pipeline<S: Requests> {
    service: S,
    from: Origin,
    /// None: without security there is nobody to judge.
    caller: Option<Caller>,
    /// Of this thread.
    tally: Arc<Tally>,
    /// Requests that have no answer. Their places are the ids that the role knows them by.
    open: Slab<Open>,
    requests: Streaming<pb::PipelineRequest>,
    under_way: FuturesUnordered<UnderWay>,
    /// Not begun.
    gets: Gets,
    run: S::Run,
    /// Puts in `run`.
    gathered: usize,
    runs: SelectAll<Puts>,
    /// Puts of all runs that are not answered.
    in_runs: usize,
    /// Answers that are not sent, with what they hold of the limits.
    told: VecDeque<(pb::PipelineResponse, Option<Inside>)>,
    /// Answers that the kernel has not taken.
    unsent: Arc<Unsent>,
    reading: bool,
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Why it ends, when the client did not end it.
    farewell: Option<Status>,
    node: Arc<Node>,
    _place: Place,
}

impl<S: Requests> Stream for Pipeline<S> {
    type Item = Result<pb::PipelineResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let me = &mut *self;
        loop {
            if let Some((answer, inside)) = me.told.pop_front() {
                inside.into_iter().for_each(hold);
                return me.tells(answer);
            }
            if let Poll::Ready(Some((place, answer))) = Pin::new(&mut me.under_way).poll_next(cx) {
                let answer = ends(&me.tally, &mut me.open, place, answer);
                return me.tells(answer);
            }
            if let Poll::Ready(Some(answers)) = Pin::new(&mut me.runs).poll_next(cx) {
                me.in_runs -= answers.len();
                for (place, put) in answers {
                    let put = answered(put, Answered::Put);
                    let answer = ends(&me.tally, &mut me.open, place, put);
                    me.told.push_back((answer, None));
                }
                continue;
            }
            if me.may_read(cx) {
                match Pin::new(&mut me.requests).poll_next(cx) {
                    Poll::Ready(Some(Ok(request))) => match me.begin(request) {
                        Some(answer) => return me.tells(answer),
                        None => continue,
                    },
                    // A broken stream has nobody left to tell.
                    Poll::Ready(_) => me.reading = false,
                    Poll::Pending => {}
                }
            }
            if !me.gets.is_empty() {
                me.begin_gets();
                continue;
            }
            if me.gathered > 0 {
                me.in_runs += std::mem::take(&mut me.gathered);
                let run = me.service.begin_run(std::mem::take(&mut me.run));
                me.runs.push(run);
                continue;
            }
            if me.reading && me.stopping.as_mut().poll(cx).is_ready() {
                let leaving = "this node leaves the cluster; ask again elsewhere";
                me.farewell = Some(refuse(ErrorCode::ShuttingDown, leaving));
                me.reading = false;
            }
            return match me.reading || me.inside() > 0 {
                true => Poll::Pending,
                false => Poll::Ready(me.farewell.take().map(Err)),
            };
        }
    }
}

impl<S: Requests> Pipeline<S> {
    fn may_read(&self, cx: &Context<'_>) -> bool {
        if !self.reading || self.gets.len() >= TOGETHER {
            return false;
        }
        let left = self.most().saturating_sub(self.inside());
        left > 0 && self.unsent.fewer_than(left, cx)
    }

    fn tells(&self, answer: pb::PipelineResponse) -> Poll<Option<<Self as Stream>::Item>> {
        self.unsent.add();
        Poll::Ready(Some(Ok(answer)))
    }

    /// Requests at a time that wait, or whose answers have not left.
    fn most(&self) -> usize {
        let streams = self.node.places.pipelines.taken();
        (self.node.limits.in_flight / 2 / streams.max(1)).clamp(LEAST_INSIDE, INSIDE)
    }

    /// Requests that have no answer.
    fn inside(&self) -> usize {
        self.under_way.len() + self.gets.len() + self.gathered + self.in_runs
    }

    fn begin_gets(&mut self) {
        let gets = std::mem::take(&mut self.gets);
        let (told, under_way) = (&mut self.told, &self.under_way);
        let (tally, open) = (&self.tally, &mut self.open);
        let mut tell = |Begun { id, answer, inside }| match answer {
            Answer::Now(answer) => {
                let answer = ends(tally, open, id, answered(answer, Answered::Get));
                told.push_back((answer, inside));
            }
            Answer::Later(answer) => under_way.push(Self::wait(id, Waiting::Get(answer))),
        };
        self.service.begin_gets(self.from, gets, &mut tell);
    }

    /// Polled at once by the stream that pushed it here, or by a task of its own.
    fn wait(place: u64, answer: Waiting) -> UnderWay {
        let how = match S::SHARED {
            false => How::Here(answer),
            true => How::Apart(tokio::spawn(Collecting::new(answer))),
        };
        UnderWay { place, how }
    }

    /// The answer, if it needs to wait for nothing.
    fn begin(&mut self, request: pb::PipelineRequest) -> Option<pb::PipelineResponse> {
        let pb::PipelineRequest { id, request } = request;
        let Some(mut asked) = request else {
            let unknown = "a request of a kind that this server does not know: upgrade it";
            let answer = told(&refuse(ErrorCode::Unsupported, unknown));
            return Some(response(id, answer));
        };
        let method = Method::asked(&asked);
        let mut course = self.tally.begin(method);
        let watch = self.tally.watch();
        if watch.is_on() {
            course.seen = Seen::of(header(&mut asked), watch.traces());
        }
        let place = self.open.insert(Open { id, method, course }) as u64;
        let answer = self.begin_asked(place, asked)?;
        Some(ends(&self.tally, &mut self.open, place, answer))
    }

    fn begin_asked(&mut self, place: u64, asked: Asked) -> Option<Answered> {
        // Each request is allowed or not as if it had come alone.
        if let Some(caller) = &self.caller
            && let Err(refused) = allowed(caller, &asked)
        {
            return Some(told(&refused));
        }
        let (service, from) = (&self.service, self.from);
        let answer = match asked {
            Asked::Get(asked) => {
                self.gets.push((place, asked));
                return None;
            }
            Asked::Put(asked) => match service.gather(from, place, asked, &mut self.run) {
                Some(Answer::Now(answer)) => return Some(answered(answer, Answered::Put)),
                Some(Answer::Later(answer)) => Waiting::Put(answer),
                None => {
                    self.gathered += 1;
                    return None;
                }
            },
            other => Waiting::Other(Box::pin(by_handler(service.clone(), from, other))),
        };
        self.under_way.push(Self::wait(place, answer));
        None
    }
}

/// A request has its answer.
fn ends(
    tally: &Tally,
    open: &mut Slab<Open>,
    place: u64,
    answer: Answered,
) -> pb::PipelineResponse {
    let Open { id, method, course } = open.remove(place as usize);
    tally.end(method, Code::answered(&answer), &course);
    response(id, answer)
}

/// Requests that have no answer when the stream ends were given up.
impl<S: Requests> Drop for Pipeline<S> {
    fn drop(&mut self) {
        for Open { method, course, .. } in self.open.drain() {
            self.tally.end(method, Code::CANCELLED, &course);
        }
    }
}

fn header(asked: &mut Asked) -> Option<&mut pb::RequestHeader> {
    match asked {
        Asked::Get(asked) => asked.header(),
        Asked::Put(asked) => asked.header(),
        Asked::Delete(asked) => asked.header(),
        Asked::BatchGet(asked) => asked.header(),
        Asked::BatchPut(asked) => asked.header(),
    }
}

async fn by_handler<S: Requests>(service: S, from: Origin, asked: Asked) -> Answered {
    fn inner<A>(answer: Result<Response<A>, Status>, wrap: impl FnOnce(A) -> Answered) -> Answered {
        answered(answer.map(Response::into_inner), wrap)
    }
    match asked {
        Asked::Get(asked) => inner(service.get(from.request(asked)).await, Answered::Get),
        Asked::Put(asked) => inner(service.put(from.request(asked)).await, Answered::Put),
        Asked::Delete(asked) => inner(service.delete(from.request(asked)).await, Answered::Delete),
        Asked::BatchGet(asked) => {
            let answer = service.batch_get(from.request(asked)).await;
            inner(answer, Answered::BatchGet)
        }
        Asked::BatchPut(asked) => {
            let answer = service.batch_put(from.request(asked)).await;
            inner(answer, Answered::BatchPut)
        }
    }
}

/// The answer to one request that waits for something.
enum Waiting {
    Get(Later<pb::GetResponse>),
    Put(Later<pb::PutResponse>),
    Other(Pin<Box<dyn Future<Output = Answered> + Send>>),
}

impl Future for Waiting {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        match &mut *self {
            Self::Get(answer) => answer
                .as_mut()
                .poll(cx)
                .map(|got| answered(got, Answered::Get)),
            Self::Put(answer) => answer
                .as_mut()
                .poll(cx)
                .map(|put| answered(put, Answered::Put)),
            Self::Other(answer) => answer.as_mut().poll(cx),
        }
    }
}

struct UnderWay {
    place: u64,
    how: How,
}

enum How {
    /// What it was admitted with goes straight to the stream's answer that is being made when it ends.
    Here(Waiting),
    Apart(JoinHandle<(Answered, Parcel)>),
}

impl Future for UnderWay {
    type Output = (u64, Answered);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = match &mut self.how {
            How::Here(answer) => Pin::new(answer).poll(cx),
            How::Apart(task) => Pin::new(task).poll(cx).map(|ended| match ended {
                Ok((answer, parcel)) => {
                    parcel.forward();
                    answer
                }
                Err(_) => Answered::Error(error(
                    ErrorCode::Internal,
                    "the request's task ended without an answer",
                )),
            }),
        };
        answered.map(|answer| (self.place, answer))
    }
}

fn response(id: u64, answer: Answered) -> pb::PipelineResponse {
    pb::PipelineResponse {
        id,
        response: Some(answer),
    }
}

fn allowed(caller: &Caller, asked: &Asked) -> Result<(), Status> {
    match asked {
        Asked::Get(asked) => caller.may("/aidb.v1.Storage/Get", asked),
        Asked::Put(asked) => caller.may("/aidb.v1.Storage/Put", asked),
        Asked::Delete(asked) => caller.may("/aidb.v1.Storage/Delete", asked),
        Asked::BatchGet(asked) => caller.may("/aidb.v1.Storage/BatchGet", asked),
        Asked::BatchPut(asked) => caller.may("/aidb.v1.Storage/BatchPut", asked),
    }
}

fn answered<A>(answer: Result<A, Status>, wrap: impl FnOnce(A) -> Answered) -> Answered {
    match answer {
        Ok(answer) => wrap(answer),
        Err(status) => told(&status),
    }
}

fn told(status: &Status) -> Answered {
    let said = || error(ErrorCode::Internal, status.message());
    Answered::Error(reported(status).unwrap_or_else(said))
}
