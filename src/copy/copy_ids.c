/*-------------------------------------------------------------------------
 *
 * copy_ids.c
 *		Ids of a copy that are remembered beside its state: tpm_fdw_copy_ids.
 *
 * Owns that table's rows, but for those that go with a copy or a run that is
 * forgotten (copy_state.c).  What an id is remembered for, whoever asks knows.
 *
 * Like the state it is written as the catalogs are, without privileges, since
 * nobody has any on it: within the transaction of the state that goes with it,
 * whose lock keeps two from writing the same row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "copy/copy_ids_internal.h"

enum
{
	IDS_GUARD = 1,
	IDS_KIND,
	IDS_ID,
	IDS_ASKED,
	IDS_COLUMNS = IDS_ASKED
};

/* those of a kind, or one of them; the relation's columns are all of collation C, as scan keys are */
static SysScanDesc
scan_ids(Relation rel, const char *guard, char kind, const char *id)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], IDS_GUARD, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(guard));
	ScanKeyInit(&keys[1], IDS_KIND, BTEqualStrategyNumber, F_CHAREQ, CharGetDatum(kind));
	if (id)
		ScanKeyInit(&keys[2], IDS_ID, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(id));
	return systable_beginscan(rel, tpm_primary_key(rel), true, NULL, id ? 3 : 2, keys);
}

int
tpm_copy_ids_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

typedef struct RememberedId
{
	char	   *id;
	TimestampTz asked;
} RememberedId;

static int
compare_remembered(const void *a, const void *b)
{
	const RememberedId *left = a;
	const RememberedId *right = b;

	if (left->asked != right->asked)
		return left->asked < right->asked ? -1 : 1;
	return strcmp(left->id, right->id);
}

char	  **
tpm_copy_ids_read(const char *guard, char kind, TimestampTz since, int *n)
{
	Relation	rel = table_open(tpm_copy_ids_relid(), AccessShareLock);
	SysScanDesc scan = scan_ids(rel, guard, kind, NULL);
	int			room = 64;
	RememberedId *rows = palloc(room * sizeof(RememberedId));
	char	  **ids;
	HeapTuple	tuple;

	*n = 0;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		asked = heap_getattr(tuple, IDS_ASKED, RelationGetDescr(rel), &isnull);

		if (!isnull && DatumGetTimestampTz(asked) >= since)
			continue;
		if (*n == room)
			rows = repalloc_huge(rows, (Size) (room *= 2) * sizeof(RememberedId));
		rows[*n].asked = isnull ? TPM_NEVER : DatumGetTimestampTz(asked);
		rows[(*n)++].id = TextDatumGetCString(heap_getattr(tuple, IDS_ID, RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	qsort(rows, *n, sizeof(RememberedId), compare_remembered);
	ids = palloc_extended(Max(*n, 1) * sizeof(char *), MCXT_ALLOC_HUGE);
	for (int i = 0; i < *n; i++)
		ids[i] = rows[i].id;
	pfree(rows);
	return ids;
}

/* those of a scan */
static int
remove_scanned(Relation rel, SysScanDesc scan)
{
	int			removed = 0;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CatalogTupleDelete(rel, &tuple->t_self);
		removed++;
	}
	systable_endscan(scan);
	return removed;
}

void
tpm_copy_ids_add(const char *guard, char kind, char *const *ids, int n, TimestampTz asked)
{
	Relation	rel = table_open(tpm_copy_ids_relid(), RowExclusiveLock);

	for (int i = 0; i < n; i++)
	{
		Datum		values[IDS_COLUMNS] = {
			CStringGetTextDatum(guard), CharGetDatum(kind), CStringGetTextDatum(ids[i]), TimestampTzGetDatum(asked)
		};
		bool		nulls[IDS_COLUMNS] = {false};

		remove_scanned(rel, scan_ids(rel, guard, kind, ids[i]));
		CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
		CommandCounterIncrement();
	}
	table_close(rel, NoLock);
}

int
tpm_copy_ids_remove(const char *guard, char kind, char *const *ids, int n)
{
	Relation	rel = table_open(tpm_copy_ids_relid(), RowExclusiveLock);
	int			removed = 0;

	if (ids == NULL)
		removed = remove_scanned(rel, scan_ids(rel, guard, kind, NULL));
	else
		for (int i = 0; i < n; i++)
			removed += remove_scanned(rel, scan_ids(rel, guard, kind, ids[i]));
	table_close(rel, NoLock);
	if (removed > 0)
		CommandCounterIncrement();
	return removed;
}
