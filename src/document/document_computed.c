/*-------------------------------------------------------------------------
 *
 * document_computed.c
 *		Generated columns: no member is named for them, so they are computed.
 *
 * Owns their expressions, made ready once a decoder.  They see the other
 * columns of the row as the document gave them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"

#include "document/document_internal.h"

typedef struct Computing
{
	ExprContext *context;
	TupleTableSlot *row;
	int			n;
	const TpmColumn **columns;
	ExprState **states;
} Computing;

/* of the column's type already, but for what domains make of it */
static ExprState *
make_ready(const TpmColumn *column)
{
	Node	   *expression = (Node *) column->computed;

	expression = coerce_to_target_type(NULL, expression, exprType(expression), column->type,
									   column->typmod, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	return ExecInitExpr(expression_planner((Expr *) expression), NULL);
}

Computing *
tpm_computing_create(const TpmTable *table, TupleDesc tupdesc, Bitmapset *needed)
{
	Computing  *computing = palloc0(sizeof(Computing));

	computing->columns = palloc(table->natts * sizeof(TpmColumn *));
	computing->states = palloc(table->natts * sizeof(ExprState *));
	for (int i = 0; i < table->natts; i++)
	{
		const TpmColumn *column = &table->columns[i];

		if (column->computed == NULL || (needed && !bms_is_member(column->attnum, needed)))
			continue;
		computing->columns[computing->n] = column;
		computing->states[computing->n++] = make_ready(column);
	}
	if (computing->n == 0)
		return NULL;
	computing->context = CreateStandaloneExprContext();
	/* a copy is not counted, and goes with its memory */
	computing->row = MakeSingleTupleTableSlot(CreateTupleDescCopy(tupdesc), &TTSOpsVirtual);
	computing->row->tts_tableOid = table->relid;
	computing->context->ecxt_scantuple = computing->row;
	return computing;
}

/* what is computed is good until the next row is */
void
tpm_compute(Computing *computing, Datum *values, bool *nulls)
{
	TupleTableSlot *row = computing->row;

	ResetExprContext(computing->context);
	ExecClearTuple(row);
	memcpy(row->tts_values, values, row->tts_tupleDescriptor->natts * sizeof(Datum));
	memcpy(row->tts_isnull, nulls, row->tts_tupleDescriptor->natts * sizeof(bool));
	ExecStoreVirtualTuple(row);
	for (int i = 0; i < computing->n; i++)
	{
		int			at = computing->columns[i]->attnum - 1;

		values[at] = ExecEvalExprSwitchContext(computing->states[i], computing->context, &nulls[at]);
	}
}
