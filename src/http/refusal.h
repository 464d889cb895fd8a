/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why the codec refused a message: one table of reasons, each with the status that a server should
 * answer and a sentence for people. Filled by head, body and target; turned into a response by
 * front and proxy alone. (A client that refuses a response treats every reason as a bad upstream.)
 */
#ifndef POSTERN_HTTP_REFUSAL_H
#define POSTERN_HTTP_REFUSAL_H

enum http_refusal {
	HTTP_REFUSED_NOTHING,
	/* the lines of a head */
	HTTP_REFUSED_LINE_END,	   /* a bare CR or LF */
	HTTP_REFUSED_REQUEST_LINE, /* not METHOD SP target SP version, with single spaces */
	HTTP_REFUSED_METHOD,	   /* not a token */
	HTTP_REFUSED_TARGET_BYTE,  /* a control character, space or DEL in the target */
	HTTP_REFUSED_TARGET_LONG,
	HTTP_REFUSED_VERSION,	    /* not HTTP/digit.digit */
	HTTP_REFUSED_VERSION_OTHER, /* neither 1.0 nor 1.1 */
	HTTP_REFUSED_STATUS_LINE,   /* of a response */
	HTTP_REFUSED_FIELD_NAME,    /* empty, not a token, or a space before the colon */
	HTTP_REFUSED_FIELD_VALUE,   /* a control character */
	HTTP_REFUSED_FIELD_FOLDED,  /* a continuation line */
	HTTP_REFUSED_HEAD_LONG,	    /* in bytes */
	HTTP_REFUSED_FIELDS_MANY,   /* in fields */
	/* what says where the message ends */
	HTTP_REFUSED_LENGTH,		  /* Content-Length is not one plain number below 2^63 */
	HTTP_REFUSED_LENGTH_TWICE,	  /* several Content-Length fields */
	HTTP_REFUSED_LENGTH_AND_ENCODING, /* Content-Length beside Transfer-Encoding */
	HTTP_REFUSED_ENCODING,		  /* Transfer-Encoding does not end in one chunked */
	HTTP_REFUSED_ENCODING_OTHER,	  /* a coding that we do not know, then chunked */
	HTTP_REFUSED_ENCODING_OLD,	  /* Transfer-Encoding in HTTP/1.0 */
	HTTP_REFUSED_HOST_MISSING,
	HTTP_REFUSED_HOST_TWICE,
	HTTP_REFUSED_HOST,	 /* not a host with an optional port */
	HTTP_REFUSED_CONNECTION, /* Connection is not a list of tokens, or names Host or framing */
	/* a body */
	HTTP_REFUSED_CHUNK_SIZE,
	HTTP_REFUSED_CHUNK_LINE_LONG,
	HTTP_REFUSED_CHUNK_END, /* no CRLF where a chunk should end */
	HTTP_REFUSED_TRAILER,	/* not a field, or one that must not be a trailer */
	HTTP_REFUSED_TRAILER_LONG,
	HTTP_REFUSED_TRUNCATED, /* the connection ended inside the message */
	/* a target */
	HTTP_REFUSED_TARGET_FORM,      /* none of the four forms, or not this method's */
	HTTP_REFUSED_TARGET_AUTHORITY, /* bad host or port, or userinfo */
	HTTP_REFUSED_TARGET_FRAGMENT,  /* # */
	HTTP_REFUSED_TARGET_PERCENT,   /* % without two hexadecimal digits */
	HTTP_REFUSED_TARGET_CONTROL,   /* an encoded control character */
	HTTP_REFUSED_TARGET_RAW,       /* a raw byte outside ASCII */
	HTTP_REFUSED_TARGET_ABOVE_ROOT,
	HTTP_REFUSED_TARGET_SLASH, /* %2F where it is not allowed */
	HTTP_REFUSED_TARGET_PATH_LONG,
	HTTP_REFUSED_COUNT
};

/* The status a server answers with: 400, 408, 414, 431, 501 or 505. */
unsigned http_refusal_status(enum http_refusal why);
/* One sentence, without a newline: "The header field name is not a token." */
const char *http_refusal_message(enum http_refusal why);
#endif
