//! The table of all messages: what each is called here, its number and its level.
//!
//! Used in all processes, through `log::Message`. `docs/messages.md` has an entry for each row, and the
//! numbers that no row may have again; `tests/layering.rs` checks that, and that each row is used.

use super::level::Level;

/// Name, number and level of each message. `in` names the file below src/ of a message that Python code
/// writes.
macro_rules! messages {
    ($($name:ident = $number:literal, $level:ident $(, in $file:literal)?;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Code {
            $($name = $number,)+
        }

        impl Code {
            pub fn level(self) -> Level {
                match self {
                    $(Code::$name => Level::$level,)+
                }
            }

            pub fn from_number(number: u32) -> Option<Code> {
                match number {
                    $($number => Some(Code::$name),)+
                    _ => None,
                }
            }
        }
    };
}

impl Code {
    pub fn number(self) -> u16 {
        self as u16
    }
}

messages! {
    // 1xx: configuration. The httpd parent writes them when it reads its configuration.
    DirectiveInvalid = 101, Critical;
    NameFormUnknown = 102, Warning;
    ScriptMissing = 103, Warning;
    ScriptIsDirectory = 104, Warning;
    ScriptDirectoryMissing = 105, Warning;
    GroupUndefined = 106, Warning;
    GroupForeign = 107, Warning;
    GroupUnused = 108, Warning;
    PythonHomeEmpty = 109, Warning;
    PythonNotExecutable = 110, Warning;
    HomeMissing = 111, Warning;
    PythonPathMissing = 112, Warning;
    SocketPrefixMissing = 113, Warning;
    NoEffect = 114, Info;
    NotRoot = 116, Warning;
    CallableNameInvalid = 117, Warning;
    UrlPathWithoutSlash = 118, Warning;
    FreeThreadingInSection = 119, Warning;
    EnvFileMissing = 120, Warning;
    ServiceScriptMissing = 121, Warning;
    GroupWithoutThreads = 122, Warning;
    PythonHomeMisnamed = 123, Warning;
    PythonHomeDangling = 124, Warning;
    PreloadWithoutScript = 125, Warning;
    ScriptOutsideChroot = 126, Warning;
    ProxyHeaderUnknown = 127, Warning;
    RightsMissing = 141, Warning;
    HttpdShutOut = 142, Warning;
    PackagesOfAnother = 143, Warning;
    PythonPathRelative = 144, Warning;
    AliasNeverMatches = 145, Warning;
    UserShared = 146, Info;
    OptionRepeated = 147, Warning;
    PackagesNotFound = 148, Warning;
    GroupOfHttpd = 149, Info;
    WallsWithoutRoot = 151, Warning;
    BehindWalls = 152, Warning;

    // 2xx: requests, in httpd's children: those that were not sent to a process,
    RequestGroupRestricted = 201, Error;
    RequestGroupUndefined = 202, Error;
    RequestGroupForeign = 203, Error;
    EmbeddedForbidden = 204, Error;
    RequestPanicked = 205, Error;
    DispatchRefused = 206, Error;
    RequestScriptMissing = 211, Error;
    RequestScriptIsDirectory = 212, Error;
    ExecCgiMissing = 213, Error;
    PathInfoRefused = 214, Error;
    RequestGroupWithoutThreads = 215, Error;
    RequestScriptOutsideChroot = 216, Error;
    ChunkedBodyRefused = 217, Error;
    BodyTooLarge = 218, Error;
    ChildNotPrepared = 219, Error;
    ScriptOwnerWrong = 220, Error;

    // and those that were, or were to be.
    ClientGone = 221, Info;
    BodyBrokenOff = 222, Info;
    FilterFailed = 223, Error;
    FileShortened = 224, Error;
    QueueTimeout = 225, Error;
    ClientSilent = 226, Info;
    BodyNotGathered = 229, Info;
    BodyNotStored = 230, Error;
    GroupUnavailable = 231, Error;
    GroupSilent = 232, Error;
    ProcessLost = 233, Error;
    AnswerRefused = 234, Error;
    LinesLeftOut = 235, Error;
    FileUnreadable = 236, Error;
    FilterAnswered = 240, Info;

    // Questions to scripts: access, passwords, groups, dispatch.
    VerdictMalformed = 251, Error;
    QuestionScriptMissing = 252, Error;
    UserScriptMissing = 253, Error;
    GroupScriptMissing = 254, Error;
    AccessRefused = 255, Error;
    NoGroupMatches = 256, Info;

    // 301 to 309: sockets, the module's file, descriptors, in the httpd parent.
    SocketPathTooLong = 301, Critical;
    SocketDirectoryMissing = 302, Critical;
    SocketDirectoryClosed = 303, Critical;
    SocketNotCreated = 304, Critical;
    SocketNotGiven = 305, Critical;
    ModuleFileReplaced = 306, Warning;
    DescriptorsTooFew = 307, Critical;
    DescriptorsScarce = 308, Warning;
    DescriptorsRaised = 309, Info;

    // 310 to 369: the supervisor starts and watches processes.
    PythonMissing = 310, Error;
    PythonNotExecuted = 311, Error;
    StartStepFailed = 312, Error;
    NoResources = 313, Error;
    TooManyProcesses = 314, Error;
    OtherBuild = 315, Error;
    DaemonReady = 320, Info;
    GroupRecovered = 321, Notice;
    EndedBeforeReady = 322, Error;
    ProcessCrashed = 323, Error;
    CrashLoop = 324, Error;
    ProcessKilled = 325, Warning;
    CrashedAtItsEnd = 326, Warning;
    StartupTimeout = 327, Error;
    OverlapFound = 328, Notice;
    ScriptHeld = 329, Error;
    WaitsForOlder = 330, Info;
    RolledOut = 331, Notice;
    NotRolledOut = 332, Error;
    ScriptNotLoaded = 333, Error;
    ProcessReplaced = 334, Info;
    RequestTimeout = 335, Error;
    ProcessUnresponsive = 337, Error;
    ProcessesWanted = 338, Info;
    SupervisorFailed = 340, Critical;
    ParentGone = 341, Notice;
    GenerationEnded = 342, Info;
    TemplateUnresponsive = 343, Error;
    OutputDropped = 344, Error;
    PythonTooOld = 351, Error, in "daemon/bootstrap.py";
    ModuleNotLoaded = 352, Error, in "daemon/bootstrap.py";
    LogStoodStill = 353, Error;
    CheckUnanswered = 354, Error;
    EnvFileUnusable = 360, Error;
    ServiceEnded = 361, Error;
    SignalNotTold = 362, Error;
    StraysEnded = 364, Info;
    WallsNotBuilt = 367, Error;
    ReaderLate = 368, Error;
    ReadersKept = 369, Error;

    // 381 to 399: inside daemons, and in the httpd parent.
    WaitFailed = 381, Error;
    AcceptFailed = 382, Error;
    StrangerRefused = 383, Error;
    NotStartedByHttpd = 384, Error;
    DaemonStartFailed = 385, Error;
    AnswerNotTaken = 386, Error;
    ConnectionPanicked = 387, Error;
    ShutdownTimeout = 388, Warning;
    ForkWithInterpreters = 389, Warning, in "interpreter/support.py";
    HttpdTooOld = 391, Critical;
    DirectivePanicked = 392, Critical;
    StartPanicked = 393, Critical;
    SupervisorNotStarted = 394, Critical;
    SupervisorLost = 395, Error;
    Starting = 396, Info;
    SecretWrong = 397, Error;
    SocketDirectoryOpen = 398, Critical;
    ChildrenReadable = 399, Warning;

    // 4xx: Python and applications, where they run.
    ScriptFailed = 401, Error;
    ScriptStillFailing = 402, Error;
    InterpreterNotMade = 403, Error;
    InterpreterNotPrepared = 404, Error;
    CallableMissing = 405, Error;
    AnswerTooLong = 406, Warning;
    AnswerTooShort = 407, Error;
    ApplicationRaised = 408, Error;
    ApplicationPanicked = 409, Error;
    BodyErrorUnhandled = 410, Info;
    ScriptNotReloaded = 411, Error;
    NotFreeThreaded = 412, Warning, in "interpreter/support.py";
    OwnGilUnsupported = 413, Warning;
    ReloadHookFailed = 414, Error;
    HeaderLeftOut = 415, Warning;
    SignalHandlerRefused = 418, Warning;
    TimerSignal = 419, Warning;
    PythonUnusable = 431, Error;
    LibraryMissing = 432, Error;
    ChildEnding = 433, Error;
    LibraryOccupied = 434, Error;
    LibraryUnusable = 435, Error;
    PythonEnded = 436, Error;
    PreloadNotStarted = 437, Error;
    EnvironmentOutdated = 438, Error, in "interpreter/support.py";
    SubscriberRaised = 440, Error, in "interpreter/events.py";
    NotWsgi = 441, Error;
    InterpretersTooMany = 442, Error;
    ForkHangs = 443, Error;
    LibraryMistrusted = 444, Error;
    QuestionFunctionMissing = 451, Error;
    VerdictUnusable = 452, Error;
}
