// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// The bounds of a request.
const (
	// MaxBody is in bytes.
	MaxBody = 1 << 20
	// MaxSamples is how many values there may be in one request.
	MaxSamples = 5000
	// maxSource is the longest name of a source, in bytes.
	maxSource = 160
)

// metrics takes what a trial pushes.
func (s *Server) metrics(w http.ResponseWriter, req *http.Request) {
	stored, err := s.push(w, req)
	if err == nil {
		reply(w, http.StatusOK, map[string]any{"stored": stored})
		return
	}
	a, told := asAnswer(err)
	if !told {
		s.Log.Error(err, "Metrics could not be taken", "path", req.URL.Path)
		a = answer{http.StatusServiceUnavailable, "the metrics could not be stored: try again"}
	}
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	reply(w, a.status, map[string]any{"error": a.text})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// Who does not read the answer has it all the same.
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Server) push(w http.ResponseWriter, req *http.Request) (int, error) {
	namespace, name := req.PathValue("namespace"), req.PathValue("trial")
	c, err := s.who.who(req)
	if err != nil {
		return 0, err
	}
	t, takes, err := s.find(req.Context(), types.NamespacedName{Namespace: namespace, Name: name})
	if err != nil {
		return 0, err
	}
	if err := s.allow(req.Context(), c, t); err != nil {
		return 0, err
	}
	if !s.rates.allow(namespace) {
		return 0, refuse(http.StatusTooManyRequests,
			"the namespace %s pushes more than %.0f times a second: send several values in one request", namespace, s.Rate)
	}
	if !takes {
		return 0, refuse(http.StatusNotFound, "there is no trial %s in the namespace %s that takes metrics now", name, namespace)
	}
	source, samples, err := read(w, req, trialjob.MetricsOf(t), s.Clock.Now())
	if err != nil {
		return 0, err
	}
	key := store.Trial{Namespace: namespace, Name: name, UID: string(t.UID)}
	err = s.Accept(req.Context(), store.Series{Trial: key, Source: "Push/" + c.id() + "/" + source}, samples)
	if errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrTooMany) {
		return 0, refuse(http.StatusBadRequest, "%s", err)
	}
	return len(samples), err
}

// find is the Trial of a name, and whether it is there and takes metrics: until its end is written down.
func (s *Server) find(ctx context.Context, of types.NamespacedName) (t *v1alpha1.Trial, takes bool, err error) {
	t = &v1alpha1.Trial{}
	if err := s.Cache.Get(ctx, of, t); client.IgnoreNotFound(err) != nil {
		return nil, false, fmt.Errorf("reading the trial: %w", err)
	}
	t.Namespace, t.Name = of.Namespace, of.Name
	return t, t.UID != "" && !condition.Decided(t, v1alpha1.ConditionSucceeded), nil
}

// formats are how the body of a request is read, by its media type: JSON objects, one for each line, whose keys are metrics; the
// samples of a launcher; and lines of text.
var formats = map[string]func(body []byte, metrics []string, now time.Time) ([]observe.Sample, error){
	"application/json":     objects,
	"application/x-ndjson": objects,
	observe.MediaType:      func(body []byte, _ []string, _ time.Time) ([]observe.Sample, error) { return observe.Unpack(body) },
	"text/plain":           text,
}

// read reads the samples of a request and the name of their source.
func read(w http.ResponseWriter, req *http.Request, metrics []string, now time.Time) (string, []observe.Sample, error) {
	source := req.Header.Get(observe.SourceHeader)
	if len(source) > maxSource {
		return "", nil, refuse(http.StatusBadRequest, "%s has at most %d bytes", observe.SourceHeader, maxSource)
	}
	media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	// Clients that send bytes without saying what they are, as Python's do, send objects.
	if err != nil || media == "application/x-www-form-urlencoded" {
		media = "application/json"
	}
	parse, known := formats[media]
	if !known {
		return "", nil, refuse(http.StatusUnsupportedMediaType, "%s is not understood: send application/json or text/plain", media)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, MaxBody))
	if _, big := errors.AsType[*http.MaxBytesError](err); big {
		return "", nil, refuse(http.StatusRequestEntityTooLarge, "a request has at most %d bytes: send the values in several", MaxBody)
	}
	if err != nil {
		return "", nil, refuse(http.StatusBadRequest, "the request ended early")
	}
	samples, err := parse(body, metrics, now)
	if err != nil {
		return "", nil, refuse(http.StatusBadRequest, "%s", err)
	}
	if len(samples) > MaxSamples {
		return "", nil, refuse(http.StatusRequestEntityTooLarge, "a request has at most %d values: send them in several", MaxSamples)
	}
	return source, samples, nil
}

func objects(body []byte, _ []string, now time.Time) ([]observe.Sample, error) {
	return lines(body, now, observe.FormatJSON, nil)
}

func text(body []byte, metrics []string, now time.Time) ([]observe.Sample, error) {
	return lines(body, now, observe.FormatText, metrics)
}

// lines reads a body line by line. A value that cannot be read refuses all: the program that sent it can be mended.
func lines(body []byte, now time.Time, format observe.Format, metrics []string) ([]observe.Sample, error) {
	parser, err := observe.New(format, metrics, nil)
	if err != nil {
		return nil, err
	}
	var all []observe.Sample
	for line := range bytes.Lines(body) {
		samples, faults := parser.Line(bytes.TrimRight(line, "\r\n"), now)
		if len(faults) > 0 {
			return nil, errors.New(string(faults[0]))
		}
		if line = bytes.TrimSpace(line); format == observe.FormatJSON && len(samples) == 0 && len(line) > 0 && (line[0] != '{' || !json.Valid(line)) {
			return nil, fmt.Errorf("each line must be a JSON object, and %q is none", line[:min(len(line), 64)])
		}
		all = append(all, samples...)
		if len(all) > MaxSamples {
			break
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the request has no metrics: send an object such as {\"accuracy\": 0.91, \"step\": 3}")
	}
	number(all)
	return all, nil
}

// number gives samples an identity of time, step and place in the request, so that one that is sent again is the same, and one of
// another step at the same time is not.
func number(samples []observe.Sample) {
	const places = 1 << 20
	observe.Sequencer{}.Number(samples)
	for i := range samples {
		samples[i].Seq += (samples[i].Step + 1) % (1 << 40) * places
	}
}
