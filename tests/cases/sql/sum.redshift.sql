-- segment: behavior_big_spender
-- when: sum(order_completed.total) > 200.5 this week in Europe/Paris and consents to email_marketing
WITH history AS (
  SELECT
    e.person_id,
    e.event,
    e.time_ms,
    ROW_NUMBER() OVER (PARTITION BY e.person_id ORDER BY e.time_ms, e.source_order, e.position) AS seq,
    e.consent_granted,
    e.consent_purpose,
    e.total
  FROM events AS e
  WHERE
    e.time_ms <= 1795521600000 AND e.event IN ('consent_updated', 'order_completed')
), people AS (
  SELECT DISTINCT
    h.person_id
  FROM history AS h
), sum_1 AS (
  SELECT
    h.person_id,
    SUM(h.total) AS value
  FROM history AS h
  WHERE
    h.event = 'order_completed' AND h.time_ms >= 1795388400000 AND NOT h.total IS NULL
  GROUP BY
    h.person_id
), consent_1 AS (
  SELECT
    h.person_id,
    h.value
  FROM (
    SELECT
      h.person_id,
      h.consent_granted AS value,
      ROW_NUMBER() OVER (
        PARTITION BY h.person_id
        ORDER BY h.time_ms DESC, CASE WHEN h.consent_granted THEN 1 ELSE 0 END
      ) AS nth
    FROM history AS h
    WHERE
      h.event = 'consent_updated'
      AND h.consent_purpose = 'email_marketing'
      AND NOT h.consent_granted IS NULL
  ) AS h
  WHERE
    h.nth = 1
), behavior_big_spender AS (
  SELECT
    f.person_id
  FROM people AS f
  LEFT JOIN sum_1
    ON f.person_id = sum_1.person_id
  LEFT JOIN consent_1
    ON f.person_id = consent_1.person_id
  WHERE
    COALESCE(sum_1.value, 0) > 200.5 AND COALESCE(consent_1.value, FALSE)
)
SELECT
  s.person_id
FROM behavior_big_spender AS s
