/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages between the sandbox's supervisor, proxy, dialer and witness: one table of type,
 * sender, shape and limit (see base/msg.h for the mechanism and docs/processes.md for who talks to
 * whom). An answer repeats the question's seq.
 *
 * Each helper has a channel to the supervisor: proxy descriptor 7, dialer 5, witness 7. A helper
 * says SANDBOX_READY on it once, when it has dropped what it drops and can serve. To dialer, the
 * supervisor first sends any number of SANDBOX_CREDENTIAL and SANDBOX_SERVER, maybe
 * a SANDBOX_HOST, then SANDBOX_SETUP_DONE. When the channel closes, the helper ends; when a helper ends, its channel
 * closes.
 */
#ifndef POSTERN_PROXY_MESSAGES_H
#define POSTERN_PROXY_MESSAGES_H
#include "base/msg.h"

enum sandbox_role {
	SANDBOX_ROLE_SUPERVISOR = 1,
	SANDBOX_ROLE_PROXY = 2,
	SANDBOX_ROLE_DIALER = 4,
	SANDBOX_ROLE_WITNESS = 8,
	SANDBOX_ROLE_RESOLVER = 16, /* dialer's child, proxy/resolve.h */
};

enum sandbox_message {
	SANDBOX_NONE,

	/* supervisor -> dialer, before SANDBOX_SETUP_DONE only */
	SANDBOX_CREDENTIAL, /* s name, b value, s host, u port, s path, u how (enum
			       credential_binding): what the placeholder
			       openshell:resolve:env:NAME stands for, and where it may go: path
			       is a prefix that ends at a segment's end ("" or "/": all paths).
			       Repeated with the same name and value it adds a binding; with
			       another value it ends the dialer. */
	SANDBOX_SERVER,	    /* u port, s address: host.openshell.internal:PORT inside means this, an
			       "IPv4:PORT", "[IPv6]:PORT" or "unix:/path" of the host. Other ports of
			       that name are refused, but for SANDBOX_HOST. */
	SANDBOX_HOST,	    /* s address, IPv4 or IPv6: what host.openshell.internal is for them */
	SANDBOX_SETUP_DONE,

	/* supervisor -> proxy, before it is ready */
	SANDBOX_LISTENER, /* fd: the listening socket, made inside the sandbox's network namespace */

	/* supervisor -> dialer, proxy, when they are ready */
	SANDBOX_POLICY, /* u which one it is (the first is 0), fd a sealed file with a policy that the
			   supervisor has loaded without fault, to decide by from now on; answered by
			   SANDBOX_POLICY_TAKEN. One that cannot take it ends. Dialer gets it first; what
			   proxy decided by the one before is decided again (DIAL_OTHER_POLICY). */

	/* proxy, dialer, witness -> supervisor */
	SANDBOX_READY,
	SANDBOX_CA, /* dialer only, before SANDBOX_READY, when the policy may have TLS looked into: b the
		       certificate (PEM) of the authority that the sandbox's programs are to trust */
	SANDBOX_POLICY_TAKEN, /* proxy and dialer only */

	/* proxy -> dialer */
	SANDBOX_DIAL, /* s host (lower case), u port, b canonical request head with its
				placeholders, or empty for a raw tunnel, u whether only wildcards
				allow the asker this host (0, 1: can only make dialer stricter), u
				whether TLS is to be spoken, u which policy allowed it; answered by
				SANDBOX_DIALED or SANDBOX_DIAL_FAILED. Optionally fd: a memory file
				with the whole body, in which placeholders are to be replaced, too */
	SANDBOX_LEAF, /* s host (lower case), u port: a certificate for a tunnel to it is wanted;
				answered by SANDBOX_LEAF_MADE or SANDBOX_DIAL_FAILED */
	SANDBOX_DIAL_CANCEL, /* u seq of a SANDBOX_DIAL whose client is gone: an answer may still
				come; or whose body need not be written on */

	/* dialer -> proxy */
	SANDBOX_DIALED, /* fd: a connected stream socket, non-blocking, on which the head was written whole;
				where the body came with it, dialer writes both, and proxy nothing; u
				whether this sandbox has credentials (0, 1) */
	SANDBOX_DIAL_FAILED, /* u enum dial_problem, u errno or 0, or with DIAL_NOT_TRUSTED an
				X509_V_ERR_… */
	SANDBOX_LEAF_MADE, /* b certificate, b its key (DER): worth nothing outside this sandbox */

	SANDBOX_BLOCKED, /* s address, u whether it is the entries with wildcards that have
				something against it (0, 1): comes before a SANDBOX_DIAL_FAILED of
				the same seq that says DIAL_BLOCKED_*, when the host has addresses */

	/* proxy -> witness */
	SANDBOX_WHO, /* b client address (4 or 16 bytes, network order), u client port, b proxy
			address, u proxy port */

	/* witness -> proxy */
	SANDBOX_ASKER, /* b the holders of the connection, each as its pid inside the sandbox
				  (decimal), its executable's path, its ancestors' paths (nearest first),
				  and an empty path; each is followed by a NUL. SANDBOX_CHANGED before a
				  path: the file there is not the one that was executed first. A request
				  is allowed only if every holder is. */
	SANDBOX_ASKER_UNKNOWN, /* u errno: nobody holds it (any more), or too many do */

	/* dialer -> resolver */
	SANDBOX_RESOLVE, /* s host */

	/* resolver -> dialer */
	SANDBOX_RESOLVED, /* b struct address, as many as were found */

	SANDBOX_MESSAGE_COUNT
};

/* Why dialer did not dial. */
enum dial_problem {
	DIAL_UNREACHABLE,      /* refused, no route, timed out: 502 upstream_unreachable */
	DIAL_UNRESOLVED,       /* the name has no address: 403 ssrf_denied, as the real one */
	DIAL_BLOCKED_INTERNAL, /* a wildcard led to a private address: 403 ssrf_denied */
	DIAL_BLOCKED_DECLARED, /* an exact host led to loopback, link-local or unspecified
				     addresses, or to a control-plane port: 403 ssrf_denied */
	DIAL_BLOCKED_LISTED,   /* allowed_ips do not hold an address of the name: 403 ssrf_denied,
				     "allowed_ips check failed" */
	DIAL_NO_TLS,	       /* the handshake failed: 502 upstream_unreachable */
	DIAL_NOT_TRUSTED,      /* the server's certificate is not accepted: the same */
	DIAL_NOT_IN_POLICY,    /* no endpoint has this host and port: 403 policy_denied */
	DIAL_CREDENTIAL_MISMATCH, /* the placeholder's credential is bound elsewhere: 403 */
	DIAL_CREDENTIAL_UNKNOWN,  /* no such credential: 500 credential_injection_failed */
	DIAL_CREDENTIAL_PLACE,	  /* a placeholder where its credential cannot go: the same */
	DIAL_BAD_HEAD,		  /* proxy sent what is no canonical head: 500 */
	DIAL_BUSY,		  /* too many dials at once: 503 */
	DIAL_OTHER_POLICY, /* dialer has another policy than allowed it: to be decided again */
	DIAL_PROBLEM_COUNT
};

/* What ssrf_denied says of it, in OpenShell's words; NULL where the address is not why. */
const char *dial_blocked_text(enum dial_problem problem);

/* Where proxy listens, in the sandbox's network namespace. */
#define SANDBOX_PROXY_ADDRESS "10.200.0.1"
#define SANDBOX_PROXY_PORT    3128

#define SANDBOX_CHANGED	    "!"		/* no path begins so */
#define SANDBOX_HOLDERS_MAX (48 * 1024) /* bytes of SANDBOX_ASKER's paths */

extern const struct msg_table sandbox_messages;
#endif
