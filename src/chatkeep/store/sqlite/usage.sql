-- name: add_usage
-- Adds to the sums of an hour.
INSERT INTO usage_hour (
    project, hour, form, model, upstream, api_key, outcome,
    calls, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, priced, cost_micro,
    duration_ms, up_to_100, up_to_300, up_to_1000, up_to_3000, up_to_10000, up_to_30000,
    up_to_100000, longer
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
    ?22, ?23
)
ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    cached_tokens = cached_tokens + excluded.cached_tokens,
    reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
    priced = priced + excluded.priced,
    cost_micro = cost_micro + excluded.cost_micro,
    duration_ms = duration_ms + excluded.duration_ms,
    up_to_100 = up_to_100 + excluded.up_to_100,
    up_to_300 = up_to_300 + excluded.up_to_300,
    up_to_1000 = up_to_1000 + excluded.up_to_1000,
    up_to_3000 = up_to_3000 + excluded.up_to_3000,
    up_to_10000 = up_to_10000 + excluded.up_to_10000,
    up_to_30000 = up_to_30000 + excluded.up_to_30000,
    up_to_100000 = up_to_100000 + excluded.up_to_100000,
    longer = longer + excluded.longer

-- name: select_usage
-- Sums of a range of hours: by periods of so many (0 for all), and by what is not 0.
SELECT
    CASE WHEN ?4 THEN hour / ?4 * ?4 END, CASE WHEN ?5 THEN model END,
    CASE WHEN ?6 THEN upstream END, CASE WHEN ?7 THEN api_key END, CASE WHEN ?8 THEN outcome END,
    sum(calls), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens),
    sum(reasoning_tokens), sum(priced), sum(cost_micro), sum(duration_ms), sum(up_to_100),
    sum(up_to_300), sum(up_to_1000), sum(up_to_3000), sum(up_to_10000), sum(up_to_30000),
    sum(up_to_100000), sum(longer)
FROM usage_hour
WHERE project = ?1 AND hour BETWEEN ?2 AND ?3
    AND (?9 IS NULL OR model = ?9) AND (?10 IS NULL OR upstream = ?10)
    AND (?11 IS NULL OR api_key = ?11) AND (?12 IS NULL OR outcome = ?12)
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1 DESC, 6 DESC, 2, 3, 4, 5
LIMIT ?13
