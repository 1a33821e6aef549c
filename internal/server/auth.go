// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

const (
	// kept is how long the API server's word on a token holds, and refusedFor its refusal.
	kept       = time.Minute
	refusedFor = 10 * time.Second
	// mostTokens is how many are remembered: who tries tokens must not fill our memory.
	mostTokens = 4096
	// mostReviews is how much the API server is asked in a second: who tries tokens must not keep it busy.
	mostReviews = 100
)

// answer is an answer with words for the client.
type answer struct {
	status int
	text   string
}

func (a answer) Error() string { return a.text }

func refuse(status int, format string, args ...any) error {
	return answer{status, fmt.Sprintf(format, args...)}
}

// caller is who sent a request.
type caller struct {
	authenticationv1.UserInfo
	// namespace, pod and uid are of the pod that the token is bound to; empty for a token of no pod.
	namespace, pod, uid string
}

// id tells callers apart, as the source of what they push.
func (c caller) id() string {
	if c.uid != "" {
		return c.uid
	}
	sum := sha256.Sum256([]byte(c.Username))
	return fmt.Sprintf("%x", sum[:8])
}

// reviewer finds out who callers are and what they may, and remembers it.
type reviewer struct {
	api   kubernetes.Interface
	clock clock.PassiveClock
	limit *rate.Limiter

	mu    sync.Mutex
	known map[[sha256.Size]byte]verdict
}

type verdict struct {
	caller *caller // nil when the token is of nobody
	until  time.Time
}

func newReviewer(api kubernetes.Interface, clk clock.PassiveClock) *reviewer {
	return &reviewer{api: api, clock: clk, limit: rate.NewLimiter(mostReviews, mostReviews), known: map[[sha256.Size]byte]verdict{}}
}

// who is the caller of a request.
func (r *reviewer) who(req *http.Request) (*caller, error) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(req.Header.Get("Authorization")), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, refuse(http.StatusUnauthorized, "send Authorization: Bearer with a service account's token for the audience %s", names.Audience)
	}
	key := sha256.Sum256([]byte(token))
	v, ok := r.recall(key)
	if !ok {
		var err error
		if v, err = r.review(req.Context(), token); err != nil {
			return nil, err
		}
		r.remember(key, v)
	}
	if v.caller == nil {
		return nil, refuse(http.StatusUnauthorized, "the token is not valid for the audience %s, or no more", names.Audience)
	}
	return v.caller, nil
}

func (r *reviewer) recall(key [sha256.Size]byte) (verdict, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.known[key]
	return v, ok && r.clock.Now().Before(v.until)
}

func (r *reviewer) remember(key [sha256.Size]byte, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= mostTokens {
		clear(r.known)
	}
	r.known[key] = v
}

// review asks the API server whose a token is.
func (r *reviewer) review(ctx context.Context, token string) (verdict, error) {
	if !r.limit.AllowN(r.clock.Now(), 1) {
		return verdict{}, refuse(http.StatusTooManyRequests, "too many new tokens are being sent: try again in a second")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said, err := r.api.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{names.Audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return verdict{}, fmt.Errorf("reviewing a token: %w", err)
	}
	// Who authenticates without knowing of audiences does not name ours: such a token is for anybody.
	if !said.Status.Authenticated || !slices.Contains(said.Status.Audiences, names.Audience) {
		return verdict{until: r.clock.Now().Add(refusedFor)}, nil
	}
	return verdict{caller: identify(said.Status.User), until: r.clock.Now().Add(kept)}, nil
}

// identify finds the pod that a token is bound to.
func identify(user authenticationv1.UserInfo) *caller {
	c := &caller{UserInfo: user}
	namespace, _, ok := strings.Cut(strings.TrimPrefix(user.Username, "system:serviceaccount:"), ":")
	pod, uid := user.Extra["authentication.kubernetes.io/pod-name"], user.Extra["authentication.kubernetes.io/pod-uid"]
	if ok && strings.HasPrefix(user.Username, "system:serviceaccount:") && len(pod) == 1 && len(uid) == 1 {
		c.namespace, c.pod, c.uid = namespace, pod[0], uid[0]
	}
	return c
}

// allow says why a caller may not push metrics of a trial: it must be a pod of the trial, or somebody who may create trials/metrics.
func (s *Server) allow(ctx context.Context, c *caller, t *v1alpha1.Trial) error {
	ours, why := s.podOf(ctx, c, t)
	if ours {
		return nil
	}
	if !s.who.limit.AllowN(s.Clock.Now(), 1) {
		return refuse(http.StatusTooManyRequests, "too many questions to the API server: try again in a second")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: c.Username, UID: c.UID, Groups: c.Groups, Extra: extra(c.Extra),
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: v1alpha1.Group, Resource: "trials", Subresource: "metrics", Verb: "create", Namespace: t.Namespace, Name: t.Name,
		},
	}}
	said, err := s.API.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("reviewing the access of %s: %w", c.Username, err)
	}
	if !said.Status.Allowed {
		return refuse(http.StatusForbidden, "%s may not push metrics of the trial %s/%s: %s, and no role lets it create trials/metrics",
			c.Username, t.Namespace, t.Name, why)
	}
	return nil
}

// apart is how far the clocks of API servers may be apart, by which a pod is told from those of an earlier trial of the name.
const apart = 10 * time.Second

// podOf says whether a caller is a pod of a trial, or why it is not.
func (s *Server) podOf(ctx context.Context, c *caller, t *v1alpha1.Trial) (ours bool, why string) {
	if c.pod == "" {
		return false, "its token is bound to no pod"
	}
	if c.namespace != t.Namespace {
		return false, "its pod is in the namespace " + c.namespace
	}
	var pod corev1.Pod
	err := s.Cache.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: c.pod}, &pod)
	if apierrors.IsNotFound(err) || err == nil && string(pod.UID) != c.uid {
		return false, "its pod " + c.pod + " is gone"
	}
	if err != nil {
		return false, "its pod " + c.pod + " could not be read"
	}
	if pod.Labels[names.Trial] != t.Name {
		return false, "its pod " + c.pod + " has not the label " + names.Trial + "=" + t.Name
	}
	if pod.CreationTimestamp.Add(apart).Before(t.CreationTimestamp.Time) {
		return false, "its pod " + c.pod + " is of an earlier trial of this name"
	}
	return true, ""
}

func extra(of map[string]authenticationv1.ExtraValue) map[string]authorizationv1.ExtraValue {
	all := map[string]authorizationv1.ExtraValue{}
	for key, values := range of {
		all[key] = authorizationv1.ExtraValue(values)
	}
	return all
}

// asAnswer is what a client is told of an error.
func asAnswer(err error) (answer, bool) {
	a, ok := errors.AsType[answer](err)
	return a, ok
}

// rates are how often namespaces push.
type rates struct {
	rate  rate.Limit
	burst int
	clock clock.PassiveClock

	mu  sync.Mutex
	all map[string]*rate.Limiter
}

// mostNamespaces is how many namespaces are counted before those are forgotten that had their full burst again.
const mostNamespaces = 1000

func newRates(perSecond float64, burst int, clk clock.PassiveClock) *rates {
	return &rates{rate: rate.Limit(perSecond), burst: burst, clock: clk, all: map[string]*rate.Limiter{}}
}

func (r *rates) allow(namespace string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	if len(r.all) >= mostNamespaces {
		for name, l := range r.all {
			if l.TokensAt(now) >= float64(r.burst) {
				delete(r.all, name)
			}
		}
	}
	if r.all[namespace] == nil {
		r.all[namespace] = rate.NewLimiter(r.rate, r.burst)
	}
	return r.all[namespace].AllowN(now, 1)
}
