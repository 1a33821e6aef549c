// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// parallel is how many writes of one pass are under way at once.
const parallel = 32

// deeds are what came of a plan's writes.
type deeds struct {
	done     []Step
	refusals []Refusal
	errs     []error
	again    time.Duration
}

// act carries out a plan in the fixed order. A write that fails stops no other write, but for creates, which stop at the
// first failing batch: what one pod of a job is refused, the next will be too.
func (r *Reconciler[T, W]) act(ctx context.Context, owner T, plan Plan) *deeds {
	did := &deeds{}
	for _, out := range each(ctx, plan.Delete, r.remove) {
		did.note(out)
	}
	for _, object := range plan.Apply {
		did.note(outcome{verb: "apply", step: Step{Object: object}, err: r.applier.apply(ctx, owner.GetUID(), object)})
	}
	for _, out := range each(ctx, plan.Patch, r.patch) {
		did.note(out)
	}
	for _, out := range slowStart(ctx, plan.Create, func(ctx context.Context, s Step) outcome {
		return r.create(ctx, owner, s)
	}) {
		did.note(out)
	}
	for _, refused := range did.refusals {
		writes.WithLabelValues(r.name, refused.Verb, "refused").Inc()
	}
	return did
}

// outcome is one write and what came of it.
type outcome struct {
	verb string
	step Step
	err  error
	// none is true when no write was needed.
	none bool
}

func (d *deeds) note(out outcome) {
	if out.err == nil {
		if !out.none && out.verb != "apply" {
			d.done = append(d.done, out.step)
		}
		return
	}
	if errors.Is(out.err, errWait) {
		d.again = soonest(d.again, 5*time.Second)
		return
	}
	cause, ok := causeOf(out.err)
	if !ok {
		d.errs = append(d.errs, fmt.Errorf("%s %s: %w", out.verb, describe(out.step.Object), out.err))
		return
	}
	d.again = soonest(d.again, refusedAgain)
	d.refusals = append(d.refusals, Refusal{
		Verb: out.verb, Kind: kindOf(out.step.Object), Name: out.step.Object.GetName(), Cause: cause, Message: messageOf(out.err),
	})
}

var (
	// errWait: the object is ours and on its way out; its deletion will wake us.
	errWait = errors.New("waiting for the old object to go")
	// errTaken: the name belongs to somebody else.
	errTaken = errors.New("name taken")
)

// causeOf tells a refusal, which the user must hear about, from a failure, which is retried.
func causeOf(err error) (Cause, bool) {
	switch {
	case errors.Is(err, errTaken):
		return Taken, true
	case apierrors.IsForbidden(err) && quotaRefused(err):
		return Quota, true
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return Missing, true
	case apierrors.IsForbidden(err):
		return Forbidden, true
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return Invalid, true
	case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		return Missing, true
	}
	return "", false
}

// quotaRefused looks for the words of the ResourceQuota and LimitRange plug-ins: they have no reason of their own.
func quotaRefused(err error) bool {
	text := err.Error()
	return strings.Contains(text, "exceeded quota") || strings.Contains(text, "failed quota") ||
		strings.Contains(text, "maximum") || strings.Contains(text, "minimum")
}

func messageOf(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

func kindOf(o Object) string { return o.GetObjectKind().GroupVersionKind().Kind }

func describe(o Object) string { return kindOf(o) + " " + o.GetNamespace() + "/" + o.GetName() }

func (r *Reconciler[T, W]) remove(ctx context.Context, s Step) outcome {
	uid := s.Object.GetUID()
	err := r.deps.Client.Delete(ctx, s.Object.(client.Object), &client.DeleteOptions{
		Preconditions:      &metav1.Preconditions{UID: &uid},
		GracePeriodSeconds: s.Grace,
		PropagationPolicy:  ptr.To(metav1.DeletePropagationBackground),
	})
	// A conflict means that another object has the name by now: the one we meant is gone.
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return outcome{verb: "delete", step: s, none: true}
	}
	r.wrote(ctx, "delete", s, err)
	return outcome{verb: "delete", step: s, err: err}
}

func (r *Reconciler[T, W]) patch(ctx context.Context, s Step) outcome {
	object, patch := s.Object.(client.Object), client.RawPatch(types.StrategicMergePatchType, s.Data)
	var err error
	switch s.Subresource {
	case "":
		err = r.deps.Client.Patch(ctx, object, patch, client.FieldOwner(FieldManager))
	default:
		err = r.deps.Client.SubResource(s.Subresource).Patch(ctx, object, patch, client.FieldOwner(FieldManager))
	}
	if apierrors.IsNotFound(err) && s.Subresource == "" {
		return outcome{verb: "patch", step: s, none: true}
	}
	r.wrote(ctx, "patch", s, err)
	return outcome{verb: "patch", step: s, err: err}
}

// create makes an object once. AlreadyExists is content when the object is ours, which happens after a crash or on a
// stale cache.
func (r *Reconciler[T, W]) create(ctx context.Context, owner T, s Step) outcome {
	err := r.deps.Client.Create(ctx, s.Object.(client.Object), r.applier.createOptions(s.Object)...)
	if apierrors.IsAlreadyExists(err) {
		return outcome{verb: "create", step: s, err: r.applier.whose(ctx, owner.GetUID(), s.Object), none: true}
	}
	r.wrote(ctx, "create", s, err)
	return outcome{verb: "create", step: s, err: err}
}

func (r *Reconciler[T, W]) wrote(ctx context.Context, verb string, s Step, err error) {
	if err != nil {
		return
	}
	writes.WithLabelValues(r.name, verb, "ok").Inc()
	log.FromContext(ctx).V(1).Info("Wrote", "verb", verb, "object", describe(s.Object), "why", s.Why)
}

// each runs do for every step, at most parallel at once, and returns the outcomes in the order of the steps.
func each(ctx context.Context, steps []Step, do func(context.Context, Step) outcome) []outcome {
	outs := make([]outcome, len(steps))
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i, s := range steps {
		slots <- struct{}{}
		wg.Go(func() {
			outs[i] = do(ctx, s)
			<-slots
		})
	}
	wg.Wait()
	return outs
}

// slowStart runs do for the steps in batches of 1, 2, 4 and so on, and stops after a batch with a failure: a job of
// 500 pods over its quota must cost one refused request, not 500.
func slowStart(ctx context.Context, steps []Step, do func(context.Context, Step) outcome) []outcome {
	var all []outcome
	for size := 1; len(steps) > 0; size *= 2 {
		batch := steps[:min(size, len(steps))]
		steps = steps[len(batch):]
		outs := each(ctx, batch, do)
		all = append(all, outs...)
		for _, out := range outs {
			if out.err != nil && !errors.Is(out.err, errWait) {
				return all
			}
		}
	}
	return all
}
