// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guard lets those read an HTTP endpoint whom the API server knows and allows it: a TokenReview says who a bearer
// token belongs to, a SubjectAccessReview whether that user may get the path, a non-resource URL. Both answers are kept for a minute.
//
// It does what controller-runtime's filters do by way of k8s.io/apiserver, which would be two fifths of the program.
package guard

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// kept is how long an answer holds: so long a token that was revoked still reads.
	kept = time.Minute
	// most is how many answers are kept: who tries tokens must not fill our memory.
	most = 1024
	// patience is how long the API server may take to answer.
	patience = 10 * time.Second
)

// guard asks the API server, and remembers what it said.
type guard struct {
	tokens  authentication.TokenReviewInterface
	access  authorization.SubjectAccessReviewInterface
	clock   clock.PassiveClock
	mu      sync.Mutex
	answers map[question]answer
}

// question is who wants what: the token is hashed, so that no memory dump gives it away.
type question struct {
	token      [sha256.Size]byte
	verb, path string
}

// answer is the HTTP status that a question gets, and until when.
type answer struct {
	status int
	user   string
	until  time.Time
}

// Filter guards the metrics endpoint of a manager.
func Filter(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	tokens, err := authentication.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("making a client of TokenReviews: %w", err)
	}
	access, err := authorization.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("making a client of SubjectAccessReviews: %w", err)
	}
	g := &guard{
		tokens: tokens.TokenReviews(), access: access.SubjectAccessReviews(),
		clock: clock.RealClock{}, answers: map[question]answer{},
	}
	return g.filter, nil
}

func (g *guard) filter(log logr.Logger, handler http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a, err := g.decide(req)
		switch {
		case err != nil:
			log.Error(err, "Asking the API server who may read this failed", "path", req.URL.Path)
			http.Error(w, "The API server could not be asked who you are.", http.StatusInternalServerError)
		case a.status == http.StatusUnauthorized:
			http.Error(w, "Send the bearer token of a service account.", a.status)
		case a.status == http.StatusForbidden:
			http.Error(w, fmt.Sprintf("%s may not get %s: bind it to a role that allows this non-resource URL.", a.user, req.URL.Path), a.status)
		default:
			handler.ServeHTTP(w, req)
		}
	}), nil
}

// decide answers a request from memory, or asks. An error is not remembered.
func (g *guard) decide(req *http.Request) (answer, error) {
	token, ok := bearer(req)
	if !ok {
		return answer{status: http.StatusUnauthorized}, nil
	}
	q := question{sha256.Sum256([]byte(token)), strings.ToLower(req.Method), req.URL.Path}
	if a, known := g.recall(q); known {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(req.Context(), patience)
	defer cancel()
	a, err := g.ask(ctx, token, q)
	if err == nil {
		g.remember(q, a)
	}
	return a, err
}

func bearer(req *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(req.Header.Get("Authorization")), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

func (g *guard) ask(ctx context.Context, token string, q question) (answer, error) {
	who, err := g.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return answer{}, fmt.Errorf("reviewing a token: %w", err)
	}
	if !who.Status.Authenticated {
		return answer{status: http.StatusUnauthorized}, nil
	}
	user := who.Status.User
	may, err := g.access.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra(user.Extra),
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: q.verb, Path: q.path},
	}}, metav1.CreateOptions{})
	if err != nil {
		return answer{}, fmt.Errorf("reviewing the access of %s: %w", user.Username, err)
	}
	if !may.Status.Allowed {
		return answer{status: http.StatusForbidden, user: user.Username}, nil
	}
	return answer{status: http.StatusOK, user: user.Username}, nil
}

func extra(of map[string]authenticationv1.ExtraValue) map[string]authorizationv1.ExtraValue {
	all := map[string]authorizationv1.ExtraValue{}
	for key, values := range of {
		all[key] = authorizationv1.ExtraValue(values)
	}
	return all
}

func (g *guard) recall(q question) (answer, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, known := g.answers[q]
	return a, known && g.clock.Now().Before(a.until)
}

func (g *guard) remember(q question, a answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.answers) >= most {
		clear(g.answers)
	}
	a.until = g.clock.Now().Add(kept)
	g.answers[q] = a
}
