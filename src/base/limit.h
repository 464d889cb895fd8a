/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit of the product, named, with its unit. Each has a test that reaches it, or a reason in tests/limits.list why none does. */
#ifndef POSTERN_LIMIT_H
#define POSTERN_LIMIT_H

/* files */
#define LIMIT_OPEN_TRIES 1000 /* of an open that a rename elsewhere disturbs -> EAGAIN */

/* HTTP (src/http, front, proxy) */
#define LIMIT_HTTP_HEAD_BYTES	    (16 * 1024) /* request line and header fields, bytes -> 431 */
#define LIMIT_HTTP_HEADERS	    512		/* header fields in a head -> 431 */
#define LIMIT_HTTP_TARGET_BYTES	    (8 * 1024)	/* request target, bytes -> 414 */
#define LIMIT_HTTP_CHUNK_LINE_BYTES 256 /* a chunk's size line with extensions, bytes -> 400 */
#define LIMIT_HTTP_TRAILER_BYTES    (8 * 1024) /* trailer section, bytes -> 431 */
#define LIMIT_TOKEN_BYTES	    512	       /* a presented token, bytes -> 401 */
#define LIMIT_TOKEN_LEAST_BYTES	    32 /* a run's token; shorter -> the server does not start */
#define LIMIT_TOKEN_LEAST_DIFFERENT 8  /* characters in it that differ -> the same */
#define LIMIT_QUERY_PARAMETERS	    64 /* parameters in a query -> 422 */

/* front */
#define LIMIT_ACCEPT_QUEUE	  1024 /* connections that wait to be accepted, per socket */
#define LIMIT_CONNECTIONS	  4096 /* at once per front, fewer where descriptors are few -> 503 */
#define LIMIT_CONNECTIONS_REFUSED 64  /* being told so at once -> not accepted until one has gone */
#define LIMIT_HEAD_SECONDS	  30  /* to send a whole head -> 408 */
#define LIMIT_IDLE_SECONDS	  120 /* between requests on a kept-alive connection -> closed */
#define LIMIT_BODY_STALL_SECONDS  60  /* without a byte of an announced body -> 408 */
#define LIMIT_WRITE_STALL_SECONDS 120 /* without progress when sending -> closed */
#define LIMIT_KEEPER_SECONDS	  30  /* for keeper's answer -> 503 */
#define LIMIT_LINGER_SECONDS	  10  /* that a refused client may go on sending -> closed */
#define LIMIT_LINGER_BYTES	  (64 * 1024 * 1024) /* the same, bytes -> closed */
#define LIMIT_UNREAD_BYTES                                                                         \
	(32 * 1024 * 1024)	      /* of answers that clients do not read, in all -> 503 */
#define LIMIT_UNREAD_SMALL_BYTES 4096 /* an answer of so many is given all the same */
#define LIMIT_UNREAD_STREAM_BYTES                                                                  \
	(256 * 1024) /* of a stream that its client does not read -> no more is put in */
#define LIMIT_TAIL_BYTES (1024 * 1024) /* of a log that ?tail= looks at */
#define LIMIT_UNAUTHENTICATED_PER_SECOND                                                           \
	50				/* requests that carry no valid token, per server -> 429 */
#define LIMIT_UNAUTHENTICATED_BURST 100 /* the same, burst */
#define LIMIT_WAIT_SECONDS	    300 /* the longest ?wait= and Prefer: wait= that is honoured */
#define DEFAULT_WAIT_SECONDS	    20	/* without Prefer, on the request that starts a job */
#define CANCEL_WAIT_SECONDS	    5	/* that the answer to a DELETE is held for the job's end */
#define RETRY_AFTER_SECONDS	    2	/* that clients are told to wait before they ask again */
#define DEFAULT_LIST_JOBS	    20	/* without ?limit= */
#define LIMIT_UPLOAD_BYTES                                                                         \
	(2ull * 1024 * 1024 * 1024) /* a build context as uploaded, bytes -> 413 */
#define EVENT_COMMENT_SECONDS 15    /* between comments on a silent event stream */

/* proxy, dialer and witness of a sandbox */
#define LIMIT_PROXY_CONNECTIONS	     1024 /* from the sandbox at once -> not accepted until one ends */
#define LIMIT_PROXY_HEAD_BYTES	     (LIMIT_HTTP_HEAD_BYTES * 2) /* a head with credentials -> 500 */
#define LIMIT_CREDENTIAL_BYTES	     (8 * 1024) /* a credential's value -> the sandbox is not started */
#define LIMIT_CREDENTIAL_ARENA_BYTES (64 * 1024)   /* the values of all credentials -> the same */
#define LIMIT_CREDENTIAL_NAME_BYTES  128	   /* a credential's name -> the same */
#define LIMIT_CREDENTIAL_HOST_BYTES  253	   /* the host that it may go to -> the same */
#define LIMIT_CREDENTIAL_PATH_BYTES  1024	   /* the path below which -> the same */
#define LIMIT_LOCKED_BYTES	     (1024 * 1024) /* that dialer locks in memory for all of them */
#define LIMIT_CREDENTIAL_BODY_BYTES                                                                \
	(256 * 1024) /* a body that placeholders are looked for in -> 413 */
#define LIMIT_FILLED_BODY_BYTES	   (512 * 1024) /* the same with credentials -> 500 */
#define LIMIT_CREDENTIALS	   64		/* credentials per sandbox -> the same */
#define LIMIT_BINDINGS		   256		/* bindings of all credentials -> the same */
#define LIMIT_SERVERS		   64		/* declared API servers per sandbox -> the same */
#define LIMIT_POLICY_PATHS	   256 /* read_only and read_write together -> malformed policy */
#define LIMIT_JAIL_MOUNTS	   (LIMIT_POLICY_PATHS + 64) /* those, and what every jail has */
#define DEFAULT_SANDBOX_PROCESSES  4096 /* threads included, without --processes -> EAGAIN */
#define LIMIT_SANDBOX_PROCESSES	   (4 * 1024 * 1024) /* the most that it can say */
#define DEFAULT_SANDBOX_FILES	   65536	 /* open, of a process, without --files -> EMFILE */
#define LIMIT_SANDBOX_FILES	   (1024 * 1024) /* the most that it can say … */
#define LEAST_SANDBOX_FILES	   16		 /* … and the least */
#define LEAST_SANDBOX_MEMORY_BYTES (16 * 1024 * 1024) /* of --memory; without it: no such limit */
#define LIMIT_CONTROL_MS	   1000 /* that a caller of a sandbox's control socket may say nothing */
#define LIMIT_SANDBOX_SECONDS	   (366 * 24 * 3600) /* of --time; without it: no such limit */
#define LIMIT_SANDBOX_TMP_BYTES                                                                    \
	(1024ull * 1024 * 1024)	      /* of its /tmp and of its own working folder */
#define LIMIT_GLOB_BRACES	  8   /* braces in braces of a pattern -> malformed policy */
#define LIMIT_SANDBOX_VARIABLES	  128 /* that are given to a sandbox's command -> the same */
#define LIMIT_SANDBOX_ENVIRONMENT 256 /* variables in all, ours included -> the same */
#define DEFAULT_RPC_BODY_BYTES                                                                     \
	(64 * 1024) /* of a json-rpc or mcp request, unless the policy says otherwise … */
#define LIMIT_RPC_BODY_BYTES                                                                       \
	(4 * 1024 * 1024) /* … and the most that it can say -> malformed policy */
#define LIMIT_RPC_BODIES_BYTES (64 * 1024 * 1024) /* of such bodies held at once -> 503 */
#define LIMIT_RPC_VALUES       (256 * 1024)	  /* JSON values in one -> refused as no message */
#define LIMIT_RPC_DEPTH	       127 /* arrays and objects in each other, as in OpenShell -> the same */
#define LIMIT_DIALS	       512 /* at once per sandbox -> 503 */
#define LIMIT_DIAL_SECONDS     135 /* to resolve, connect and send a head -> 502 */
#define LIMIT_UPSTREAM_IDLE_SECONDS                                                                \
	30 /* that a server's connection waits for the client's next request */
#define LIMIT_RELAY_BUFFER_BYTES  (128 * 1024) /* held per direction, bytes -> reading stops */
#define LIMIT_TLS_RELAYS	  1024 /* TLS connections at once, of a proxy or dialer -> closed, 503 */
#define LIMIT_TLS_LEAVES	  64 /* certificates that a sandbox's authority remembers */
#define LIMIT_CA_BUNDLE_BYTES	  (4 * 1024 * 1024) /* the host's list of authorities -> not started */
#define LIMIT_DECISION_LINES	  20   /* logged at once, of denials and audited violations … */
#define LIMIT_DECISION_LINES_RATE 5    /* … and then a second; the others are counted */
#define LIMIT_HOLDERS		  16   /* processes that share a connection -> nobody is named */
#define LIMIT_ANCESTORS		  64   /* of a holder -> the same */
#define LIMIT_PROGRAMS		  4096 /* executables remembered per sandbox -> nobody's */
#define LIMIT_PROGRAM_BYTES	  (1024 * 1024 * 1024) /* of an executable -> nobody's */
#define LIMIT_PROGRAM_HASHES	  16		     /* executables hashed at once -> others wait */
#define LIMIT_DECISION_LOG_BYTES  (64 * 1024 * 1024) /* of each decision log -> no more lines */
#define LIMIT_EXPLAINED_DENIALS	  64 /* told apart at the end; the others are counted */

/* jobs (keeper) */
#define LIMIT_JOBS_PER_RUN                                                                         \
	256 /* remembered; the oldest finished one makes room; none finished -> 429 */
#define DEFAULT_JOBS_QUEUED                                                                        \
	16 /* waiting or uploading at once, unless the configuration says otherwise -> 429 */
#define LIMIT_JOBS_QUEUED	    128	 /* the most that it can say */
#define DEFAULT_JOBS_RUNNING	    2	 /* at once, likewise */
#define LIMIT_JOBS_RUNNING	    16	 /* the most that it can say */
#define LIMIT_QUOTA_CHECK_MS	    250	 /* between looks at what uploads have written */
#define LIMIT_JOB_SECONDS	    3600 /* then timed_out */
#define LIMIT_JOB_OVERDUE_SECONDS   30	 /* past that, then its worker is told to stop */
#define LIMIT_JOB_STOP_SECONDS	    10	 /* that a worker gets to stop, then SIGKILL */
#define LIMIT_JOB_LOG_BYTES	    (64 * 1024 * 1024) /* then the log says that it was cut */
#define LIMIT_RESULT_BYTES	    (8 * 1024)	       /* a job's result as JSON */
#define LIMIT_ARGUMENTS_BYTES	    (16 * 1024)	       /* a job's arguments as JSON */
#define LIMIT_IDEMPOTENCY_KEY_BYTES 128		       /* -> 422 */
#define LIMIT_RESERVE_BYTES                                                                        \
	(1024 * 1024)		    /* kept free so that a full disk still takes the ends of jobs */
#define LIMIT_ARTIFACTS		  8 /* per job */
#define LIMIT_ARTIFACT_NAME_BYTES 64

/* One byte: the kernel takes 0 for "as much as the program that core_pattern pipes to wants" (core(5)). */
#define LIMIT_CORE_BYTES 1 /* of a core of our processes, or of one in a jail */

/* jails (of builds and of sandboxes) */
#define LIMIT_JAIL_TERMINALS   64		  /* pseudoterminals (the machine has 4096) */
#define LIMIT_JAIL_ROOT_BYTES  (16 * 1024 * 1024) /* of its root, which is in memory */
#define LIMIT_JAIL_GROUPS      1024		  /* supplementary ones, of a process of a build */
#define LIMIT_JAIL_SHM_BYTES   (16 * 1024 * 1024) /* of its /dev/shm */
#define LIMIT_JAIL_COPY_DEPTH  64 /* folders deep, of what is copied for a jail to write to */
#define LIMIT_JAIL_TMPFS_BYTES (64ull * 1024 * 1024) /* of a file system in memory, else unsaid */
#define LIMIT_TMPFS_INODE_BYTES                                                                    \
	1024 /* of the kernel's memory, that a file or folder of one counts for beside its contents */
#define LIMIT_TMPFS_INODES_LEAST 1024 /* that even a small one may have */

/* builds (worker) */
#define LIMIT_BASES		 16			     /* granted base images per run */
#define LIMIT_CONTEXT_BYTES	 (4ull * 1024 * 1024 * 1024) /* unpacked */
#define LIMIT_CONTEXT_ENTRIES	 200000			     /* files and folders */
#define LIMIT_CONTEXT_DEPTH	 64			     /* folders deep */
#define LIMIT_BUILD_MEMORY_BYTES (4ull * 1024 * 1024 * 1024)
#define LIMIT_BUILD_PROCESSES	 512
#define LIMIT_BUILD_FILE_BYTES	 (4ull * 1024 * 1024 * 1024) /* one file (RLIMIT_FSIZE) */
#define LIMIT_BUILD_STORAGE_BYTES                                                                  \
	(16ull * 1024 * 1024 * 1024) /* a run's engine storage and results */
#define LIMIT_BUILD_DEPTH 4096	     /* folders deep in what a build stores -> failed */
#define LIMIT_BUILD_LINKED_FILES                                                                   \
	(1024 * 1024) /* with several names that are told apart; more -> each name counts */
#define LIMIT_BUILD_STORES     64 /* of earlier builds, of a run; more -> the oldest are dropped */
#define LIMIT_BUILD_OPEN_FILES 4096
#define LIMIT_BUILD_DISK_RESERVE_BYTES                                                             \
	(1024ull * 1024 * 1024) /* left on the host's disk, or 5 % of it: less -> build ends */
#define LIMIT_DOCKERFILE_BYTES (1024 * 1024)
#define LIMIT_HEREDOC_LINES                                                                        \
	(1000 * 1000) /* of a Dockerfile, looked at for the ends of here-documents */
#define LIMIT_IMAGE_DOCUMENT_BYTES (1024 * 1024)      /* of an index or manifest of an image */
#define LIMIT_STORE_JSON_BYTES	   (16 * 1024 * 1024) /* of an engine's list of layers or images */
#define LIMIT_IMPORT_SECONDS	   600		      /* to make a base image */
#define LIMIT_PROVE_SECONDS	   300	/* to try an engine; minutes on an emulated machine */
#define LIMIT_DOCKER_STOP_MS	   5000 /* that docker gets to have the dockerd cancel a build */
#define LIMIT_DOCKER_IMAGES	   4096 /* that a build leaves in a dockerd and are removed; more stay */
#define LIMIT_DOCKER_TIDY_MS	   30000 /* that removing what it made from the dockerd may take */
#define LIMIT_FAILURE_LINES	   20	 /* of a failed step's output, in its result */

/* lifecycle */
#define DEFAULT_DRAIN_SECONDS	 10 /* that running jobs get after SIGTERM */
#define LIMIT_FRONT_END_SECONDS	 2  /* that answers get to go out when the server ends */
#define LIMIT_KEEPER_END_SECONDS 5  /* that keeper gets to close its store, then SIGKILL */
#define LIMIT_KEEPER_SEEN_MS                                                                       \
	1000 /* that its end may be seen later than that of front, which goes with it */
/* After the grace: workers have LIMIT_JOB_STOP_SECONDS, keeper records how jobs ended; then all is killed. */
#define LIMIT_DRAIN_SLACK_SECONDS (LIMIT_JOB_STOP_SECONDS + 2)
#define LIMIT_FRONT_READ_SECONDS                                                                   \
	10 /* that front may leave keeper's answers unread, then it is ended */
#define LIMIT_BACKLOG_MESSAGES		64 /* that keeper keeps for a peer which does not read */
#define LIMIT_FRONT_RESTARTS_PER_MINUTE 10 /* then the server ends */
#define LIMIT_HEALTH_SECONDS		15 /* that a runner waits for /healthz */
#define DEFAULT_TOKEN_SECONDS		(12 * 3600) /* a token's life when nothing else is said */
#define LIMIT_TOKEN_SECONDS		(366 * 24 * 3600) /* the longest that can be said */
#define LIMIT_DRAIN_SECONDS		(24 * 3600)	  /* the longest --grace */
#define LIMIT_RUN_ID_BYTES		31
#define LIMIT_TAKE_OVER_MS                                                                         \
	1000 /* that the lock and sockets of a server which was just killed are waited for */

/* runner */
#define LIMIT_API_PORTS		  64 /* of host.openshell.internal, in one policy, that are looked at */
#define LIMIT_HARNESS_SERVERS	  8		/* api_servers of a harness */
#define LIMIT_HARNESS_FILES	  256		/* host_files of a harness */
#define LIMIT_HARNESS_VARIABLES	  128		/* names in one env map */
#define LIMIT_HARNESS_WORDS	  256		/* words of a command or of a server's arguments */
#define LIMIT_HARNESS_VALUE	  (64 * 1024)	/* one value after ${VAR} was replaced, bytes */
#define LIMIT_EXPAND_BYTES	  (1024 * 1024) /* a host file with `expand`, bytes */
#define LIMIT_TIMEOUT_MINUTES	  (24 * 60)
#define LIMIT_HOST_FILES_DEPTH	  64 /* folders deep, below one of host_files */
#define LIMIT_AGENT_STOP_SECONDS  5  /* that a command gets after SIGTERM, then SIGKILL */
#define LIMIT_SCRIPT_STOP_SECONDS 2  /* that an interrupted script gets after SIGTERM */
#define LIMIT_POST_SCRIPT_SECONDS                                                                  \
	60 /* that a post-script gets whatever is left of the run's time */
#define LIMIT_SERVER_STOP_SECONDS 30 /* that a server gets after SIGTERM, then SIGKILL */
#define LIMIT_SERVER_LOG_LINES	  20 /* of a server's log, shown when it died */
/* probe */
#define LIMIT_PROBE_SECONDS	   10 /* that one attempt may take -> refused, ETIMEDOUT */
#define LIMIT_PROBE_ENGINE_SECONDS 60 /* the same, of one that builds an image */
#endif
