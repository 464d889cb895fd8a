/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps jobs in SQLite. */
#include "keeper/store.h"
#include "base/buf.h"

#include <errno.h>
#include <sqlite3.h>

struct store {
	sqlite3 *db;
	sqlite3_stmt *save, *delete, *each;
};

/* Before all else: each change outside of the write-ahead log waits for the disk several times. */
static const char settings[] = "PRAGMA synchronous = NORMAL; PRAGMA journal_mode = WAL;";

static const char schema[] = "CREATE TABLE IF NOT EXISTS run (id TEXT NOT NULL);"
			     "CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, operation TEXT, "
			     "state INTEGER, changes INTEGER,"
			     " created INTEGER, started INTEGER, ended INTEGER, position INTEGER, "
			     "stage TEXT, result TEXT, artifacts BLOB,"
			     " arguments TEXT, idempotency_key TEXT);";

/* SQLite's own marks in the file's head (PRAGMA application_id, user_version): whose file it is, and of which form. */
#define APPLICATION 0x706f7374 /* "post" */
#define VERSION	    1
#define TEXT_OF(n)  #n
#define NUMBER(n)   TEXT_OF(n)

static const char marks[] =
	"PRAGMA application_id = " NUMBER(APPLICATION) ";"
						       "PRAGMA user_version = " NUMBER(VERSION) ";";

static int failure(int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_IOERR: /* the shared index of the log has to grow with it */
		return code == SQLITE_IOERR_SHMSIZE ? -ENOSPC : -EIO;
	}
	return -EIO;
}

static int prepare(struct store *s, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
}

/* The first column of the first row of a question; SQLITE_OK, or SQLite's code. */
static int ask(struct store *s, const char *sql, int64_t *ret_number, bool *ret_ok)
{
	sqlite3_stmt *q = NULL;
	int r = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_step(q);
	if (r == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(q, 0);
		*ret_ok = text && !strcmp(text, "ok");
		*ret_number = sqlite3_column_int64(q, 0);
		r = SQLITE_OK;
	}
	sqlite3_finalize(q);
	return r;
}

/* Whose file is it? Nothing is written before that is known. */
static int check(struct store *s, bool *ret_new, struct error *e)
{
	int64_t application = 0, version = 0, tables = 0, ignored;
	bool ok = false;
	int r = ask(s, "PRAGMA application_id", &application, &ok);
	if (r == SQLITE_OK)
		r = ask(s, "PRAGMA user_version", &version, &ok);
	if (r == SQLITE_OK)
		r = ask(s, "SELECT count(*) FROM sqlite_schema", &tables, &ok);
	if (r == SQLITE_OK)
		r = ask(s, "PRAGMA quick_check(1)", &ignored, &ok);
	if (r == SQLITE_OK && !ok)
		r = SQLITE_CORRUPT;
	if (r != SQLITE_OK)
		return r;
	if (tables && application != APPLICATION)
		return error_set(e, EBADMSG,
				 "postern.db in the state directory is another program's "
				 "database; name another state directory");
	if (tables && version != VERSION)
		return error_set(
			e, EBADMSG,
			"postern.db in the state directory is of version %lld, this postern "
			"writes version " NUMBER(VERSION) "; name another state directory",
			(long long)version);
	*ret_new = !tables;
	return SQLITE_OK;
}

/* All of it or nothing. */
static int create(struct store *s, bool is_new)
{
	int r = sqlite3_exec(s->db, settings, NULL, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL);
	if (r == SQLITE_OK && is_new)
		r = sqlite3_exec(s->db, marks, NULL, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_exec(s->db, schema, NULL, NULL, NULL);
	return r == SQLITE_OK ? sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) : r;
}

int store_open(struct store **ret, struct error *e)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(e, ENOMEM, "out of memory");
	bool is_new = false;
	int r = sqlite3_open_v2(
		"postern.db", &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_PRIVATECACHE, NULL);
	if (r == SQLITE_OK)
		r = check(s, &is_new, e);
	if (r < 0) {
		store_close(s);
		return r;
	}
	if (r == SQLITE_OK)
		r = create(s, is_new);
	if (r == SQLITE_OK)
		r = prepare(s, "INSERT OR REPLACE INTO job VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
			    &s->save);
	if (r == SQLITE_OK)
		r = prepare(s, "DELETE FROM job WHERE id = ?", &s->delete);
	if (r == SQLITE_OK)
		r = prepare(s, "SELECT * FROM job ORDER BY position", &s->each);
	if (r != SQLITE_OK) {
		error_set(e, -failure(r), "postern.db in the state directory cannot be used: %s%s",
			  s->db ? sqlite3_errstr(r) : "out of memory",
			  failure(r) == -EBADMSG ? "; move it away, or name another state directory"
						 : "");
		store_close(s);
		return failure(r);
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	sqlite3_finalize(s->save);
	sqlite3_finalize(s->delete);
	sqlite3_finalize(s->each);
	sqlite3_close(s->db);
	free(s);
}

int store_run_id(struct store *s, const char *wanted, const char *fresh, char ret[RUN_ID_SIZE],
		 struct error *e)
{
	char id[RUN_ID_SIZE] = "";
	sqlite3_stmt *q = NULL;
	int r = sqlite3_prepare_v2(s->db,
				   "INSERT INTO run SELECT ? WHERE NOT EXISTS (SELECT 1 FROM run)",
				   -1, &q, NULL);
	if (r == SQLITE_OK) {
		sqlite3_bind_text(q, 1, *wanted ? wanted : fresh, -1, SQLITE_STATIC);
		r = sqlite3_step(q);
	}
	sqlite3_finalize(q);
	if (r != SQLITE_DONE)
		return error_set(e, -failure(r), "the run's id cannot be written to postern.db: %s",
				 sqlite3_errstr(r));
	r = sqlite3_prepare_v2(s->db, "SELECT id FROM run", -1, &q, NULL);
	if (r == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(q, 0);
		snprintf(id, sizeof(id), "%s", text ? text : "");
	}
	sqlite3_finalize(q);
	if (!*id || id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		return error_set(e, EBADMSG,
				 "postern.db in the state directory names no run; name "
				 "another state directory");
	if (*wanted && strcmp(id, wanted) != 0)
		return error_set(e, EBADMSG,
				 "the state directory is that of run %s, not of %s; name another",
				 id, wanted);
	memcpy(ret, id, sizeof(id));
	return 0;
}

static int run_once(sqlite3_stmt *q)
{
	int r = sqlite3_step(q);
	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	return r == SQLITE_DONE ? 0 : failure(r);
}

int store_save(struct store *s, const struct store_job *job)
{
	const struct job_view *v = &job->view;
	sqlite3_bind_text(s->save, 1, v->id, -1, SQLITE_STATIC);
	sqlite3_bind_text(s->save, 2, v->operation, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s->save, 3, v->state);
	sqlite3_bind_int64(s->save, 4, v->changes);
	sqlite3_bind_int64(s->save, 5, (sqlite3_int64)v->created_ms);
	sqlite3_bind_int64(s->save, 6, (sqlite3_int64)v->started_ms);
	sqlite3_bind_int64(s->save, 7, (sqlite3_int64)v->ended_ms);
	sqlite3_bind_int64(s->save, 8, (sqlite3_int64)v->position);
	sqlite3_bind_text(s->save, 9, v->stage, -1, SQLITE_STATIC);
	sqlite3_bind_text(s->save, 10, v->result, (int)v->result_len, SQLITE_STATIC);
	sqlite3_bind_blob(s->save, 11, v->artifact, (int)(v->n_artifacts * sizeof(v->artifact[0])),
			  SQLITE_STATIC);
	sqlite3_bind_text(s->save, 12, job->arguments, -1, SQLITE_STATIC);
	sqlite3_bind_text(s->save, 13, job->idempotency_key, -1, SQLITE_STATIC);
	return run_once(s->save);
}

int store_delete(struct store *s, const char *id)
{
	sqlite3_bind_text(s->delete, 1, id, -1, SQLITE_STATIC);
	return run_once(s->delete);
}

static void copy_text(sqlite3_stmt *q, int column, char *to, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(q, column);
	snprintf(to, size, "%s", text ? text : "");
}

/* Is it a row that we may have written? */
static bool makes_sense(struct job_view *v)
{
	for (uint32_t i = 0; i < v->n_artifacts; i++) {
		struct job_artifact *a = &v->artifact[i];
		a->name[sizeof(a->name) - 1] = a->media_type[sizeof(a->media_type) - 1] = '\0';
		if (!*a->name || *a->name == '.' || strchr(a->name, '/'))
			return false;
	}
	return job_id_valid(v->id) && v->state > JOB_FREE && v->state < JOB_STATE_COUNT;
}

static void read_row(sqlite3_stmt *q, struct store_job *job)
{
	struct job_view *v = &job->view;
	memset(v, 0, sizeof(*v));
	copy_text(q, 0, v->id, sizeof(v->id));
	copy_text(q, 1, v->operation, sizeof(v->operation));
	v->state = (uint32_t)sqlite3_column_int64(q, 2);
	v->changes = (uint32_t)sqlite3_column_int64(q, 3);
	v->created_ms = (uint64_t)sqlite3_column_int64(q, 4);
	v->started_ms = (uint64_t)sqlite3_column_int64(q, 5);
	v->ended_ms = (uint64_t)sqlite3_column_int64(q, 6);
	v->position = (uint64_t)sqlite3_column_int64(q, 7);
	copy_text(q, 8, v->stage, sizeof(v->stage));
	size_t n = (size_t)sqlite3_column_bytes(q, 9);
	if (n <= LIMIT_RESULT_BYTES && n) {
		memcpy(v->result, sqlite3_column_text(q, 9), n);
		v->result_len = (uint32_t)n;
	}
	n = (size_t)sqlite3_column_bytes(q, 10);
	if (n && n <= sizeof(v->artifact) && n % sizeof(v->artifact[0]) == 0) {
		memcpy(v->artifact, sqlite3_column_blob(q, 10), n);
		v->n_artifacts = (uint32_t)(n / sizeof(v->artifact[0]));
	}
	copy_text(q, 11, job->arguments, sizeof(job->arguments));
	copy_text(q, 12, job->idempotency_key, sizeof(job->idempotency_key));
}

int store_each(struct store *s, struct store_job *job,
	       int (*visit)(void *arg, const struct store_job *job), void *arg)
{
	int r, stop = 0;
	while (!stop && (r = sqlite3_step(s->each)) == SQLITE_ROW) {
		read_row(s->each, job);
		stop = makes_sense(&job->view) ? visit(arg, job) : -EBADMSG;
	}
	sqlite3_reset(s->each);
	return stop < 0 ? stop : stop || r == SQLITE_DONE ? 0 : failure(r);
}
