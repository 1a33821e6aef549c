// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// log gathers what there is to say about an object, and which of its maps were read.
type log struct {
	remarks []Remark
	// fault is the first reason why the object cannot be converted.
	fault  *Fault
	opened []*fields
	// target is the kind that the object becomes.
	target string
}

func (l *log) note(path, format string, args ...any) {
	l.remarks = append(l.remarks, Remark{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (l *log) lost(path, format string, args ...any) {
	l.remarks = append(l.remarks, Remark{Path: path, Text: fmt.Sprintf(format, args...), Lost: true})
}

func (l *log) fail(path, format string, args ...any) {
	if l.fault == nil {
		l.fault = &Fault{Path: path, Message: fmt.Sprintf(format, args...)}
	}
}

// leftovers remarks on every field that nobody has read.
func (l *log) leftovers() {
	article := "a"
	if strings.HasPrefix(l.target, "E") {
		article = "an"
	}
	for _, f := range l.opened {
		for _, key := range slices.Sorted(maps.Keys(f.left)) {
			if f.left[key] != nil {
				l.lost(f.at(key), "nothing in %s %s corresponds to this field", article, l.target)
			}
		}
	}
}

// sorted are the remarks by path: the fields of a map have no order of their own.
func (l *log) sorted() []Remark {
	slices.SortStableFunc(l.remarks, func(a, b Remark) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Text, b.Text))
	})
	return slices.Compact(l.remarks)
}

// fields is a map of the original. Reading a field takes it out.
type fields struct {
	*log
	path string
	// given is true when the map is in the original.
	given bool
	left  map[string]any
	// paths of fields that come from elsewhere.
	paths map[string]string
}

func (l *log) open(path string, content map[string]any) *fields {
	f := &fields{log: l, path: path, given: true, left: content}
	l.opened = append(l.opened, f)
	return f
}

func (f *fields) at(key string) string {
	return cmp.Or(f.paths[key], strings.TrimPrefix(f.path+"."+key, "."))
}

func (f *fields) has(key string) bool { return f.left[key] != nil }

func (f *fields) take(key string) any {
	value := f.left[key]
	delete(f.left, key)
	return value
}

// drop takes fields that say nothing about what the job does.
func (f *fields) drop(keys ...string) {
	for _, key := range keys {
		delete(f.left, key)
	}
}

// lose takes a field that cannot be carried over, if it is there.
func (f *fields) lose(key, format string, args ...any) {
	if f.take(key) != nil {
		f.lost(f.at(key), format, args...)
	}
}

// takeAs takes a field of a type; any other type is a fault.
func takeAs[T any](f *fields, key, want string) (value T, given bool) {
	raw := f.take(key)
	if raw == nil {
		return value, false
	}
	value, ok := raw.(T)
	if !ok {
		f.fail(f.at(key), "expected %s, found %s", want, describe(raw))
	}
	return value, ok
}

func (f *fields) text(key string) string {
	value, _ := takeAs[string](f, key, "a string")
	return value
}

func (f *fields) flag(key string) bool {
	value, _ := takeAs[bool](f, key, "true or false")
	return value
}

func (f *fields) list(key string) []any {
	value, _ := takeAs[[]any](f, key, "a list")
	return value
}

// plain takes a map as it is, without a look at its fields.
func (f *fields) plain(key string) map[string]any {
	value, _ := takeAs[map[string]any](f, key, "an object")
	return value
}

// object takes a map to read it; an empty one where there is none.
func (f *fields) object(key string) *fields {
	value, given := takeAs[map[string]any](f, key, "an object")
	if !given {
		return &fields{log: f.log, path: f.at(key), left: map[string]any{}}
	}
	return f.open(f.at(key), value)
}

// objects takes a list of maps to read them.
func (f *fields) objects(key string) []*fields {
	var found []*fields
	for i, item := range f.list(key) {
		path := fmt.Sprintf("%s[%d]", f.at(key), i)
		content, ok := item.(map[string]any)
		if !ok {
			f.fail(path, "expected an object, found %s", describe(item))
			return nil
		}
		found = append(found, f.open(path, content))
	}
	return found
}

func (f *fields) number(key string) *int32 {
	raw := f.take(key)
	if raw == nil {
		return nil
	}
	n, ok := whole(raw)
	if !ok {
		f.fail(f.at(key), "expected a whole number, found %s", describe(raw))
		return nil
	}
	if n > math.MaxInt32 || n < math.MinInt32 {
		f.fail(f.at(key), "%d is out of range", n)
		return nil
	}
	return new(int32(n))
}

func whole(raw any) (int64, bool) {
	switch v := raw.(type) {
	case int64:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}

// word takes a field whose values have other names here. What the table does not know is not carried over.
func (f *fields) word(key string, words map[string]string) string {
	value := f.text(key)
	if value == "" {
		return ""
	}
	for theirs, ours := range words {
		if strings.EqualFold(theirs, value) {
			return ours
		}
	}
	f.lost(f.at(key), "%q is none of %s", value, strings.Join(slices.Sorted(maps.Keys(words)), ", "))
	return ""
}

func describe(value any) string {
	switch value.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "true or false"
	default:
		return "a number"
	}
}

// keys are the keys of a map in their order.
func keys[V any](content map[string]V) []string { return slices.Sorted(maps.Keys(content)) }
