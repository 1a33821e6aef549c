// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/millrace-ml/millrace/internal/observe"
)

// columns are the columns that scan reads.
const columns = "metric, kept, told, notfinite, minimum, maximum, latest, special, latest_at, latest_seq, latest_step"

// scan reads an observation and how many of its values are kept.
func scan(from interface{ Scan(...any) error }) (observe.Observation, int64, error) {
	var o observe.Observation
	var lowest, highest, latest sql.NullFloat64
	var kept, at int64
	var special int
	err := from.Scan(&o.Metric, &kept, &o.Count, &o.NotFinite, &lowest, &highest, &latest, &special, &at, &o.LatestSeq, &o.LatestStep)
	o.Min, o.Max, o.Latest, o.LatestAt = value(lowest, 0), value(highest, 0), value(latest, special), time.Unix(0, at).UTC()
	o.Dropped = o.Count - kept
	return o, kept, err
}

// Observe is what is known of every metric of a trial, over all its sources, by name.
func (s *Store) Observe(ctx context.Context, trial Trial) ([]observe.Observation, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	query := s.dialect.bind("SELECT " + columns + " FROM millrace_series WHERE uid = ? ORDER BY metric, source")
	rows, err := s.db.QueryContext(ctx, query, trial.UID)
	if err != nil {
		return nil, doing("reading observations", err)
	}
	defer rows.Close()
	var all []observe.Observation
	for rows.Next() {
		o, _, err := scan(rows)
		if err != nil {
			return nil, doing("reading observations", err)
		}
		if last := len(all) - 1; last >= 0 && all[last].Metric == o.Metric {
			all[last].Merge(o)
			continue
		}
		all = append(all, o)
	}
	return all, doing("reading observations", rows.Err())
}

// Read is the last values of a metric, over all sources of the trial, oldest first. A limit of zero is all that are kept.
func (s *Store) Read(ctx context.Context, trial Trial, metric string, limit int) ([]observe.Sample, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = int(s.Limits.PerNamespace)
	}
	query := s.dialect.bind(`SELECT v.value, v.special, v.at, v.seq, v.step FROM millrace_samples v JOIN millrace_series s ON v.series = s.id
		WHERE s.uid = ? AND s.metric = ? ORDER BY v.at DESC, v.seq DESC LIMIT ?`)
	rows, err := s.db.QueryContext(ctx, query, trial.UID, metric, limit)
	if err != nil {
		return nil, doing("reading samples", err)
	}
	defer rows.Close()
	var samples []observe.Sample
	for rows.Next() {
		var column sql.NullFloat64
		var special int
		var at int64
		sample := observe.Sample{Metric: metric}
		if err := rows.Scan(&column, &special, &at, &sample.Seq, &sample.Step); err != nil {
			return nil, doing("reading samples", err)
		}
		sample.Value, sample.At = value(column, special), time.Unix(0, at).UTC()
		samples = append(samples, sample)
	}
	slices.Reverse(samples)
	return samples, doing("reading samples", rows.Err())
}

// Changed are the trials that were written since a time, by UID.
func (s *Store) Changed(ctx context.Context, since time.Time) ([]string, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, s.dialect.bind("SELECT DISTINCT uid FROM millrace_series WHERE updated >= ?"), since.UnixNano())
	if err != nil {
		return nil, doing("reading what changed", err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var uid string
		if err := rows.Scan(&uid); err != nil {
			return nil, doing("reading what changed", err)
		}
		all = append(all, uid)
	}
	return all, doing("reading what changed", rows.Err())
}

// Mark records that everything of a source up to a time was kept. Call it after Append.
func (s *Store) Mark(ctx context.Context, series Series, at time.Time) error {
	return s.transact(ctx, "marking a source", func(tx *sql.Tx) error {
		now := s.Clock.Now().UnixNano()
		result, err := tx.ExecContext(ctx, s.dialect.bind("UPDATE millrace_streams SET at = ?, updated = ? WHERE uid = ? AND source = ?"),
			at.UnixNano(), now, series.Trial.UID, series.Source)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n > 0 || err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.dialect.bind("INSERT INTO millrace_streams (at, updated, uid, source) VALUES (?, ?, ?, ?)"),
			at.UnixNano(), now, series.Trial.UID, series.Source)
		return err
	})
}

// Resume is the time up to which a source was kept: the mark, or the last sample where that is later. The zero time when there is
// nothing. What is read again from there on changes nothing.
func (s *Store) Resume(ctx context.Context, series Series) (time.Time, error) {
	if err := s.ready(ctx); err != nil {
		return time.Time{}, err
	}
	var mark, last sql.NullInt64
	query := s.dialect.bind(`SELECT (SELECT MAX(at) FROM millrace_streams WHERE uid = ? AND source = ?),
		(SELECT MAX(latest_at) FROM millrace_series WHERE uid = ? AND source = ?)`)
	t := series.Trial.UID
	if err := s.db.QueryRowContext(ctx, query, t, series.Source, t, series.Source).Scan(&mark, &last); err != nil {
		return time.Time{}, doing("reading how far a source was kept", err)
	}
	if !mark.Valid && !last.Valid {
		return time.Time{}, nil
	}
	return time.Unix(0, max(mark.Int64, last.Int64)).UTC(), nil
}

// Delete forgets a trial. It is not an error when nothing is known of it.
func (s *Store) Delete(ctx context.Context, trial Trial) error {
	return s.transact(ctx, "forgetting a trial", func(tx *sql.Tx) error {
		for _, query := range []string{
			"DELETE FROM millrace_samples WHERE series IN (SELECT id FROM millrace_series WHERE uid = ?)",
			"DELETE FROM millrace_series WHERE uid = ?",
			"DELETE FROM millrace_streams WHERE uid = ?",
		} {
			if _, err := tx.ExecContext(ctx, s.dialect.bind(query), trial.UID); err != nil {
				return err
			}
		}
		s.usage.forget(trial.Namespace)
		return nil
	})
}
