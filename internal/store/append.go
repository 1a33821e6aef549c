// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace-ml/millrace/internal/observe"
)

// Batch is what one source told.
type Batch struct {
	Series  Series
	Samples []observe.Sample
}

// Append keeps samples of one source. A sample that is there already, by its metric, time and number, changes nothing. The error is
// ErrInvalid or ErrTooMany for what can never be kept, in which case nothing of the call was; any other may go away.
func (s *Store) Append(ctx context.Context, series Series, samples []observe.Sample) error {
	return s.AppendAll(ctx, []Batch{{series, samples}})
}

// AppendAll keeps samples of several sources in one transaction, which is far cheaper than one for each.
func (s *Store) AppendAll(ctx context.Context, batches []Batch) error {
	for _, b := range batches {
		if err := valid(b); err != nil {
			return err
		}
	}
	return s.transact(ctx, "keeping metrics", func(tx *sql.Tx) error {
		for _, b := range batches {
			if err := s.keep(ctx, tx, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// maxSource is the longest name of a source, in bytes, as columns have it.
const maxSource = 256

func valid(b Batch) error {
	if b.Series.Trial.UID == "" || len(b.Series.Source) > maxSource || !writable(b.Series.Source) {
		return fmt.Errorf("%w: a trial needs a UID, and a source a name of at most %d bytes of UTF-8", ErrInvalid, maxSource)
	}
	for _, sample := range b.Samples {
		if sample.Metric == "" || len(sample.Metric) > observe.MaxName || !writable(sample.Metric) {
			return fmt.Errorf("%w: the name of a metric has 1 to %d bytes of UTF-8", ErrInvalid, observe.MaxName)
		}
		if !representable(sample.At) {
			return fmt.Errorf("%w: the time of %s is not between the years 1678 and 2262", ErrInvalid, sample.Metric)
		}
	}
	return nil
}

// writable says whether every database takes a text: PostgreSQL refuses what is no UTF-8, and the character zero.
func writable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// representable says whether a time has nanoseconds since 1970.
func representable(at time.Time) bool { return time.Unix(0, at.UnixNano()).Equal(at) }

// row is a metric of a source as it is stored.
type row struct {
	id, kept int64
	fresh    bool
	observe.Observation
}

// id is computed, so that nobody needs to be asked for it: two of a thousand million series are the same by one chance in forty.
func (s Series) id(metric string) int64 {
	sum := sha256.New()
	for _, part := range []string{s.Trial.UID, s.Source, metric} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return int64(binary.BigEndian.Uint64(sum.Sum(nil)))
}

func (s *Store) keep(ctx context.Context, tx *sql.Tx, b Batch) error {
	by := map[string][]observe.Sample{}
	for _, sample := range b.Samples {
		by[sample.Metric] = append(by[sample.Metric], sample)
	}
	// In one order, so that two managers that write the same rows wait for each other and do not lock each other out.
	for _, metric := range slices.Sorted(maps.Keys(by)) {
		r, err := s.row(ctx, tx, b.Series, metric)
		if err != nil {
			return err
		}
		if err := s.count(ctx, tx, b.Series, &r, by[metric]); err != nil {
			return err
		}
		if err := s.put(ctx, tx, b.Series, r); err != nil {
			return err
		}
	}
	return nil
}

// row reads a metric's row, or begins one.
func (s *Store) row(ctx context.Context, tx *sql.Tx, series Series, metric string) (row, error) {
	id := series.id(metric)
	query := s.dialect.bind("SELECT " + columns + " FROM millrace_series WHERE id = ?" + s.dialect.forUpdate)
	o, kept, err := scan(tx.QueryRowContext(ctx, query, id))
	if !missing(err) {
		return row{id: id, kept: kept, Observation: o}, doing("reading a series", err)
	}
	var others int
	query = s.dialect.bind("SELECT COUNT(*) FROM millrace_series WHERE uid = ? AND source = ?")
	if err := tx.QueryRowContext(ctx, query, series.Trial.UID, series.Source).Scan(&others); err != nil {
		return row{}, doing("counting series", err)
	}
	if others >= s.Limits.Metrics {
		return row{}, fmt.Errorf("%w: %s has %d already", ErrTooMany, series.Trial.Name, others)
	}
	return row{id: id, fresh: true, Observation: observe.Nothing(metric)}, nil
}

// count adds samples to a row and keeps as many as the limits allow. Beyond them the number of values is too high when samples come
// twice; minimum, maximum and latest never are wrong.
func (s *Store) count(ctx context.Context, tx *sql.Tx, series Series, r *row, samples []observe.Sample) error {
	room, err := s.room(ctx, tx, series.Trial.Namespace, r.kept)
	if err != nil {
		return err
	}
	keep := samples[:min(int64(len(samples)), room)]
	beyond := samples[len(keep):]
	added, err := s.insert(ctx, tx, r.id, keep)
	if err != nil {
		return doing("writing samples", err)
	}
	r.NotFinite += specials(samples)
	if added < int64(len(keep)) {
		// Some were there already; which ones the database does not tell.
		query := s.dialect.bind("SELECT COUNT(*) FROM millrace_samples WHERE series = ? AND special > 0")
		if err := tx.QueryRowContext(ctx, query, r.id).Scan(&r.NotFinite); err != nil {
			return doing("counting samples", err)
		}
		r.NotFinite += specials(beyond)
	}
	for _, sample := range samples {
		r.Fold(sample)
	}
	r.kept += added
	r.Count += added + int64(len(beyond))
	s.usage.add(series.Trial.Namespace, added)
	return nil
}

func specials(samples []observe.Sample) (n int64) {
	for _, sample := range samples {
		n += int64(min(1, code(sample.Value)))
	}
	return n
}

// chunk is how many rows one statement inserts; SQLite allows 32,766 parameters.
const chunk = 500

// insert returns how many samples were new.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, id int64, samples []observe.Sample) (int64, error) {
	var added int64
	for part := range slices.Chunk(samples, chunk) {
		n, err := s.insertPart(ctx, tx, id, part)
		if err != nil {
			return 0, err
		}
		added += n
	}
	return added, nil
}

func (s *Store) insertPart(ctx context.Context, tx *sql.Tx, id int64, samples []observe.Sample) (int64, error) {
	args := make([]any, 0, 6*len(samples))
	for _, sample := range samples {
		args = append(args, id, sample.At.UnixNano(), sample.Seq, number(sample.Value), code(sample.Value), sample.Step)
	}
	query := "INSERT INTO millrace_samples (series, at, seq, value, special, step) VALUES " + many(len(samples), 6) + " " + s.dialect.passing("series")
	result, err := tx.ExecContext(ctx, s.dialect.bind(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// put writes a row.
func (s *Store) put(ctx context.Context, tx *sql.Tx, series Series, r row) error {
	now, o := s.Clock.Now().UnixNano(), r.Observation
	values := []any{
		r.kept, o.Count, o.NotFinite, number(o.Min), number(o.Max), number(o.Latest), code(o.Latest),
		o.LatestAt.UnixNano(), o.LatestSeq, o.LatestStep, now,
	}
	query := "UPDATE millrace_series SET kept = ?, told = ?, notfinite = ?, minimum = ?, maximum = ?, latest = ?, special = ?," +
		" latest_at = ?, latest_seq = ?, latest_step = ?, updated = ? WHERE id = ?"
	values = append(values, r.id)
	if r.fresh {
		query = "INSERT INTO millrace_series (kept, told, notfinite, minimum, maximum, latest, special, latest_at, latest_seq, latest_step," +
			" updated, id, namespace, trial, uid, source, metric) VALUES " + many(1, 17)
		values = append(values, series.Trial.Namespace, series.Trial.Name, series.Trial.UID, series.Source, o.Metric)
	}
	if _, err := tx.ExecContext(ctx, s.dialect.bind(query), values...); err != nil || !r.fresh {
		return doing("writing a series", err)
	}
	return s.enter(ctx, tx, series.Trial)
}

// enter lists a trial, so that it can be found when it is gone. Nobody would look where the cluster is not known.
func (s *Store) enter(ctx context.Context, tx *sql.Tx, t Trial) error {
	if s.Cluster == "" {
		return nil
	}
	query := "INSERT INTO millrace_trials (cluster, uid, namespace, trial) VALUES " + many(1, 4) + " " + s.dialect.passing("uid")
	_, err := tx.ExecContext(ctx, s.dialect.bind(query), s.Cluster, t.UID, t.Namespace, t.Name)
	return doing("listing a trial", err)
}

// Values that are no finite number: databases have no NaN, or not all of them. 0 is a number, which is in the column itself.
const (
	isNaN = iota + 1
	isPositive
	isNegative
)

func code(v float64) int {
	switch {
	case math.IsNaN(v):
		return isNaN
	case math.IsInf(v, 1):
		return isPositive
	case math.IsInf(v, -1):
		return isNegative
	}
	return 0
}

// number is a value as its column holds it.
func number(v float64) sql.NullFloat64 { return sql.NullFloat64{Float64: v, Valid: code(v) == 0} }

// value is what a column and its code stand for.
func value(column sql.NullFloat64, code int) float64 {
	if column.Valid && code == 0 {
		return column.Float64
	}
	if infinite, ok := map[int]float64{isPositive: math.Inf(1), isNegative: math.Inf(-1)}[code]; ok {
		return infinite
	}
	return math.NaN()
}
