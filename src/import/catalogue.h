/*-------------------------------------------------------------------------
 *
 * catalogue.h
 *		The resources of Third-Party Manager that IMPORT knows by heart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TPM_CATALOGUE_H
#define TPM_CATALOGUE_H

/* bits of TpmCatalogueColumn.flags */
#define TPM_CAT_FILTER		0x01	/* the list can be filtered by it */
#define TPM_CAT_READ_ONLY	0x02
#define TPM_CAT_NATURAL_KEY	0x04
#define TPM_CAT_DATE_RANGE	0x08	/* filter[date][start] and [end] bound it */
#define TPM_CAT_NOT_NULL	0x10	/* never NULL, where names are trusted */
#define TPM_CAT_EXACT		0x20	/* the filter is equality, where names are
									 * trusted */
#define TPM_CAT_CREATED		0x40	/* when the API created the resource */

typedef struct TpmCatalogueColumn
{
	const char *name;
	const char *type;
	const char *relationship;	/* NULL for an attribute */
	const char *filter_values;	/* or NULL */
	int			flags;
	const char *comment;
} TpmCatalogueColumn;

typedef struct TpmCatalogueTable
{
	const char *name;
	const char *ops;			/* NULL for all */
	bool		lookup;			/* small, and read whole */
	bool		id_filter;
	const char *comment;
	const TpmCatalogueColumn *columns;	/* without id; ends with a NULL name */
} TpmCatalogueTable;

/* ends with a NULL name */
extern const TpmCatalogueTable tpm_catalogue[];

#endif							/* TPM_CATALOGUE_H */
