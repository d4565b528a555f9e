"""The reading questions of api.md section 4, with values that the data really holds."""

from query import MULTISET, ORDERED, Query, Step

# number -> (comparison, text). Only 2 and 5 have an order without ties.
TEXTS = {
    1: (MULTISET, """
        SELECT r.name AS region, count(*)
        FROM @S@.third_parties tp LEFT JOIN @S@.regions r ON r.id = tp.region_id
        WHERE tp.status = 'Active' AND tp.approval_status = 'Pending'
        GROUP BY r.name ORDER BY 2 DESC"""),
    2: (ORDERED, """
        SELECT t.name AS type, tp.risk_rating, count(*), round(avg(tp.risk_score), 1) AS avg_score
        FROM @S@.third_parties tp
        LEFT JOIN @S@.third_party_types t ON t.id = tp.third_party_type_id
        WHERE tp.approval_status = 'Approved'
        GROUP BY 1, 2 ORDER BY 1, 2"""),
    3: (MULTISET, """
        SELECT stage, count(*), min(created_at) AS oldest
        FROM @S@.cases WHERE open GROUP BY stage ORDER BY oldest"""),
    4: (MULTISET, """
        SELECT tp.name, q.form_name, q.invited_at, now() - q.invited_at AS waiting
        FROM @S@.questionnaires q JOIN @S@.third_parties tp ON tp.id = q.third_party_id
        WHERE q.submitted_at IS NULL AND q.invited_at < now() - interval '30 days'
        ORDER BY q.invited_at"""),
    5: (ORDERED, """
        SELECT scope, date_trunc('month', closed_at) AS month, count(*),
               percentile_cont(0.5) WITHIN GROUP
                   (ORDER BY extract(epoch FROM closed_at - created_at)/86400) AS median_days
        FROM @S@.cases WHERE NOT open AND closed_at IS NOT NULL GROUP BY 1, 2 ORDER BY 2, 1"""),
    6: (MULTISET, """
        SELECT date_trunc('quarter', requested_at) AS quarter, budget_currency, sum(budget_amount)
        FROM @S@.cases WHERE budget_amount IS NOT NULL GROUP BY 1, 2 ORDER BY 1"""),
    7: (MULTISET, """
        SELECT tp.profile_number, tp.name, tp.risk_score
        FROM @S@.third_parties tp
        WHERE tp.risk_rating = 'High'
        AND NOT EXISTS (SELECT FROM @S@.cases c
                        WHERE c.third_party_id = tp.id AND c.scope IS NOT NULL)"""),
    8: (MULTISET, """
        SELECT case_number, name, stage, created_at FROM @S@.cases WHERE third_party_id IS NULL"""),
    9: (MULTISET, """
        SELECT profile_number, name, unreviewed_hits, hits_to_remediate
        FROM @S@.third_parties WHERE unreviewed_hits > 0 OR hits_to_remediate > 0
        ORDER BY hits_to_remediate DESC, unreviewed_hits DESC"""),
    10: (MULTISET, """
        SELECT u.email, tp.name, tp.next_renewal_on
        FROM @S@.third_parties tp LEFT JOIN @S@.users u ON u.id = tp.owner_id
        WHERE tp.next_renewal_on BETWEEN {day} AND {day} + 60 ORDER BY 3"""),
    11: (MULTISET, """
        SELECT v.vendor_no, v.name, tp.approval_status
        FROM {erp} v LEFT JOIN @S@.third_parties tp ON tp.internal_id = v.vendor_no
        WHERE v.active AND tp.approval_status IS DISTINCT FROM 'Approved'"""),
    12: (MULTISET, """
        SELECT tp.name, tp.approval_status, e.name AS engagement,
               e.approval_status AS engagement_status
        FROM @S@.engagements e JOIN @S@.third_parties tp ON tp.id = e.third_party_id
        WHERE e.approval_status IS DISTINCT FROM tp.approval_status"""),
    13: (MULTISET, """
        SELECT occurred_at, event, user_id, details FROM @S@.audit_events
        WHERE reference = {reference} AND occurred_at >= {start}
        AND occurred_at < {end} ORDER BY 1"""),
    14: (MULTISET, """
        SELECT tp.name, f->'value'->>0 AS annual_spend
        FROM @S@.third_parties tp, jsonb_array_elements(tp.custom_fields) f
        WHERE f->>'term' = 'Annual spend'"""),
}


def create_erp_vendors(cursor, name, local_schema):
    """The customer's vendor table of question 11: known, unknown and inactive vendors."""
    cursor.execute(
        f"""CREATE TABLE {name} AS
            SELECT internal_id AS vendor_no, upper(name) AS name, id::text < '5' AS active
            FROM {local_schema}.third_parties WHERE internal_id IS NOT NULL
            UNION ALL SELECT 'NOBODY-' || n, 'Vendor nobody knows', true
            FROM generate_series(1, 20) n"""
    )
    cursor.execute(f"ANALYZE {name}")


def _chosen(session, local_schema):
    """Values for the placeholders, so that no question is asked in vain.

    The busiest month of one reference for question 13. Question 10 is about today; where
    the data has no renewal in the next 60 days, it is about the first renewal's day.
    """
    reference, start, end = session.fetch(
        f"""SELECT quote_literal(reference), quote_literal(date_trunc('month', occurred_at)),
                   quote_literal(date_trunc('month', occurred_at) + interval '1 month')
            FROM {local_schema}.audit_events WHERE reference <> ''
            GROUP BY reference, date_trunc('month', occurred_at)
            ORDER BY count(*) DESC, 1, 2 LIMIT 1"""
    )[0]
    day, = session.fetch(
        f"""SELECT CASE WHEN count(*) FILTER
                   (WHERE next_renewal_on BETWEEN current_date AND current_date + 60) > 0
                   THEN 'current_date' ELSE 'date ' || quote_literal(min(next_renewal_on)) END
            FROM {local_schema}.third_parties"""
    )[0]
    return {"reference": reference, "start": start, "end": end, "day": day}


def queries(session, local_schema, erp):
    """All fourteen as queries; each is known to have rows in the local copy."""
    chosen = _chosen(session, local_schema)
    made = []
    for number, (compare, text) in TEXTS.items():
        for name, value in {**chosen, "erp": erp}.items():
            text = text.replace("{" + name + "}", value)
        if not session.fetch(text.replace("@S@", local_schema)):
            raise ValueError(f"question {number} has no rows: the sandbox's data does not ask it")
        made.append(Query(f"question {number}", [Step(text, compare)]))
    return made
