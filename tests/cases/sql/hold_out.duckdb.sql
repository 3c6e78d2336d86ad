-- segment: campaign_held_out
-- when: bucket("spring") < 10% and trait.plan = "trial" for 7 days
-- universe: seen in the last 90 days
WITH history AS (
  SELECT
    e.person_id,
    e.event,
    e.time_ms,
    ROW_NUMBER() OVER (PARTITION BY e.person_id ORDER BY e.time_ms, e.source_order, e.position) AS seq,
    e.plan
  FROM events AS e
  WHERE
    e.time_ms <= 1795521600000
    AND e.event IN (
      'alias',
      'cart_viewed',
      'checkout_started',
      'consent_updated',
      'coupon_applied',
      'email_bounced',
      'email_delivered',
      'email_link_clicked',
      'email_marked_as_spam',
      'email_opened',
      'identify',
      'order_cancelled',
      'order_completed',
      'order_refunded',
      'order_updated',
      'page',
      'payment_info_entered',
      'product_added',
      'product_added_to_wishlist',
      'product_clicked',
      'product_list_viewed',
      'product_removed',
      'product_reviewed',
      'product_shared',
      'product_viewed',
      'products_searched',
      'score_updated',
      'signed_in',
      'signed_up',
      'unsubscribed'
    )
), people AS (
  SELECT DISTINCT
    h.person_id
  FROM history AS h
), count_1 AS (
  SELECT
    h.person_id,
    COUNT(*) AS n
  FROM history AS h
  WHERE
    h.time_ms > 1787745600000
  GROUP BY
    h.person_id
), held_since_1 AS (
  SELECT
    h.person_id,
    h.seq,
    h.time_ms,
    h.holds,
    MAX(CASE WHEN h.holds = 1 AND h.held_before = 0 THEN h.time_ms END) OVER (
      PARTITION BY h.person_id
      ORDER BY h.seq
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS since_ms
  FROM (
    SELECT
      h.person_id,
      h.seq,
      h.time_ms,
      h.holds,
      COALESCE(LAG(h.holds) OVER (PARTITION BY h.person_id ORDER BY h.seq), 0) AS held_before
    FROM (
      SELECT
        h.person_id,
        h.seq,
        h.time_ms,
        CASE WHEN h.plan = 'trial' THEN 1 ELSE 0 END AS holds
      FROM history AS h
      WHERE
        h.event = 'identify' AND NOT h.plan IS NULL
    ) AS h
  ) AS h
), trait_1 AS (
  SELECT
    h.person_id,
    h.holds,
    h.since_ms
  FROM (
    SELECT
      h.person_id,
      h.holds,
      h.since_ms,
      ROW_NUMBER() OVER (PARTITION BY h.person_id ORDER BY h.seq DESC) AS nth
    FROM held_since_1 AS h
  ) AS h
  WHERE
    h.nth = 1
), campaign_held_out AS (
  SELECT
    f.person_id
  FROM people AS f
  LEFT JOIN count_1
    ON f.person_id = count_1.person_id
  LEFT JOIN trait_1
    ON f.person_id = trait_1.person_id
  WHERE
    COALESCE(count_1.n, 0) >= 1
    AND LEFT(MD5('spring:' || f.person_id), 8) < '1999999a'
    AND COALESCE(trait_1.holds = 1 AND trait_1.since_ms <= 1794916800000, FALSE)
)
SELECT
  s.person_id
FROM campaign_held_out AS s
