/*-------------------------------------------------------------------------
 *
 * comment.c
 *		Comments on tables that IMPORT FOREIGN SCHEMA creates.
 *
 * Owns the comments that are still to be written, of this backend's one
 * import.
 *
 * The import callback may return CREATE FOREIGN TABLE and nothing else, so
 * its comments wait here until PostgreSQL reports each table as created.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "commands/comment.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "import/import.h"

typedef struct PendingComment
{
	char	   *table;
	List	   *comments;		/* char *, or NULL, of the table and of each
								 * column */
} PendingComment;

typedef struct Pending
{
	MemoryContext context;
	MemoryContextCallback forget;
	Oid			schema;
	List	   *tables;			/* of PendingComment * */
} Pending;

/*
 * The import that is being run.  It lives in the memory of the subtransaction
 * that runs it, so an error forgets it; each table created takes its own away.
 */
static Pending *pending = NULL;

static object_access_hook_type next_hook = NULL;
static bool hook_installed = false;

static void
forget_pending(void *arg)
{
	if (pending == arg)
		pending = NULL;
}

/* The row of a relation that no command has made visible yet */
static char *
name_of_new_table(Oid relid, Oid schema)
{
	Relation	catalog = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *name = NULL;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class row = (Form_pg_class) GETSTRUCT(tuple);

		if (row->relkind == RELKIND_FOREIGN_TABLE && row->relnamespace == schema)
			name = pstrdup(NameStr(row->relname));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return name;
}

static PendingComment *
take_pending(const char *table)
{
	ListCell   *lc;

	foreach(lc, pending->tables)
	{
		PendingComment *waiting = lfirst(lc);

		if (strcmp(waiting->table, table) == 0)
		{
			pending->tables = foreach_delete_current(pending->tables, lc);
			return waiting;
		}
	}
	return NULL;
}

/* A new table's columns are numbered as they were written */
static void
comment_on(Oid relid)
{
	char	   *name = name_of_new_table(relid, pending->schema);
	PendingComment *waiting = name ? take_pending(name) : NULL;
	ListCell   *lc;

	foreach(lc, waiting ? waiting->comments : NIL)
	{
		const char *comment = lfirst(lc);

		if (comment)
			CreateComments(relid, RelationRelationId, foreach_current_index(lc), comment);
	}
}

static void
comment_hook(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	if (next_hook)
		next_hook(access, classId, objectId, subId, arg);
	if (pending && pending->tables != NIL && access == OAT_POST_CREATE &&
		classId == RelationRelationId && subId == 0)
		comment_on(objectId);
}

void
tpm_comment_begin(const char *schema)
{
	MemoryContext context = CurTransactionContext;
	Pending    *fresh = MemoryContextAllocZero(context, sizeof(Pending));

	if (!hook_installed)
	{
		next_hook = object_access_hook;
		object_access_hook = comment_hook;
		hook_installed = true;
	}
	fresh->context = context;
	fresh->schema = get_namespace_oid(schema, false);
	fresh->forget.func = forget_pending;
	fresh->forget.arg = fresh;
	MemoryContextRegisterResetCallback(context, &fresh->forget);
	pending = fresh;
}

void
tpm_comment_add(const TpmImportTable *table)
{
	MemoryContext old = MemoryContextSwitchTo(pending->context);
	PendingComment *waiting = palloc(sizeof(PendingComment));
	ListCell   *lc;

	waiting->table = pstrdup(table->name);
	waiting->comments = list_make1(table->comment ? pstrdup(table->comment) : NULL);
	foreach(lc, table->columns)
	{
		const TpmImportColumn *column = lfirst(lc);

		waiting->comments = lappend(waiting->comments,
									column->comment ? pstrdup(column->comment) : NULL);
	}
	pending->tables = lappend(pending->tables, waiting);
	MemoryContextSwitchTo(old);
}
