// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
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
	// conflict is true when a write met a newer version than the one that was decided on.
	conflict bool
}

// act carries out a plan in the fixed order. A write that fails stops no other write, but for creates. They stop at the
// first failing batch: what one pod of a job is refused, the next will be too. And they wait for what is applied: pods
// without the Service that gives them names would only hold their nodes.
func (r *Reconciler[T, W]) act(ctx context.Context, owner T, m *memory, plan Plan) *deeds {
	did := &deeds{}
	for _, out := range each(ctx, plan.Delete, r.remove) {
		did.note(out)
	}
	applied := true
	for _, object := range plan.Apply {
		out := r.apply(ctx, owner, m, object)
		applied = applied && out.err == nil
		did.note(out)
	}
	for _, out := range each(ctx, plan.Patch, r.patch) {
		did.note(out)
	}
	if applied {
		create := func(ctx context.Context, s Step) outcome { return r.create(ctx, owner, m, s) }
		for _, out := range slowStart(ctx, plan.Create, create) {
			did.note(out)
		}
	}
	for _, refused := range did.refusals {
		writes.WithLabelValues(r.name, refused.Verb, "refused").Inc()
	}
	m.keep(wanted(plan))
	return did
}

func wanted(plan Plan) map[childKey]bool {
	keys := map[childKey]bool{}
	for _, o := range plan.Apply {
		keys[keyOf(o)] = true
	}
	for _, s := range plan.Create {
		keys[keyOf(s.Object)] = true
	}
	return keys
}

func (r *Reconciler[T, W]) apply(ctx context.Context, owner T, m *memory, o Object) outcome {
	wrote, err := r.applier.apply(ctx, owner, m, o)
	out := outcome{verb: "apply", step: Step{Object: o}, err: err, none: !wrote}
	if wrote {
		r.wrote(ctx, "apply", out.step, err)
	}
	return out
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
		d.again = Soonest(d.again, goneAgain)
		return
	}
	if apierrors.IsConflict(out.err) {
		d.conflict = true
		return
	}
	cause, ok := causeOf(out.err)
	if !ok {
		d.errs = append(d.errs, fmt.Errorf("%s %s: %w", out.verb, describe(out.step.Object), out.err))
		return
	}
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
	case apierrors.IsRequestEntityTooLargeError(err):
		return Invalid, true
	case apierrors.IsForbidden(err) && quotaRefused(err):
		return Quota, true
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return Missing, true
	case apierrors.IsForbidden(err):
		return Forbidden, true
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return Invalid, true
	case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err), meta.IsNoMatchError(err):
		return Missing, true
	case apierrors.IsInternalError(err):
		return Broken, true
	}
	return "", false
}

// quotaRefused looks for the words of the ResourceQuota and LimitRange plug-ins: they have no reason of their own.
func quotaRefused(err error) bool {
	text := err.Error()
	return slices.ContainsFunc(quotaWords, func(words string) bool { return strings.Contains(text, words) })
}

var quotaWords = []string{"exceeded quota", "failed quota", "status unknown for quota", " usage per "}

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
	if uid == "" {
		return outcome{verb: "delete", step: s, err: errors.New("planned without the UID of what was seen")}
	}
	err := r.deps.Client.Delete(ctx, s.Object.(client.Object), &client.DeleteOptions{
		Preconditions:                    &metav1.Preconditions{UID: &uid},
		GracePeriodSeconds:               s.Grace,
		PropagationPolicy:                new(metav1.DeletePropagationBackground),
		DisableReadYourWritesConsistency: r.applier.blind(s.Object),
	})
	// A conflict means that another object has the name by now: the one we meant is gone.
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return outcome{verb: "delete", step: s, none: true}
	}
	r.wrote(ctx, "delete", s, err)
	return outcome{verb: "delete", step: s, err: err}
}

func (r *Reconciler[T, W]) patch(ctx context.Context, s Step) outcome {
	data, err := onlyTo(s.Object.GetUID(), s.Data)
	if err != nil {
		return outcome{verb: "patch", step: s, err: err}
	}
	object, kind := s.Object.DeepCopyObject().(client.Object), types.StrategicMergePatchType
	if _, loose := s.Object.(runtime.Unstructured); loose {
		kind = types.MergePatchType
	}
	opts := &client.PatchOptions{FieldManager: FieldManager, DisableReadYourWritesConsistency: r.applier.blind(s.Object)}
	switch s.Subresource {
	case "":
		err = r.deps.Client.Patch(ctx, object, client.RawPatch(kind, data), opts)
	default:
		err = r.deps.Client.SubResource(s.Subresource).Patch(ctx, object, client.RawPatch(kind, data), &client.SubResourcePatchOptions{PatchOptions: *opts})
	}
	if apierrors.IsNotFound(err) && s.Subresource == "" {
		return outcome{verb: "patch", step: s, none: true}
	}
	r.wrote(ctx, "patch", s, err)
	return outcome{verb: "patch", step: s, err: replaced(err)}
}

// onlyTo makes a patch fail on any object but the one that was seen.
func onlyTo(uid types.UID, data []byte) ([]byte, error) {
	if uid == "" {
		return nil, errors.New("planned without the UID of what was seen")
	}
	fields := map[string]any{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("reading the patch: %w", err)
	}
	metadata, ok := fields["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		fields["metadata"] = metadata
	}
	metadata["uid"] = string(uid)
	return json.Marshal(fields)
}

// create makes an object once. One that exists is content when it is ours, which happens after a crash or on a stale
// cache. One of a kind that is not watched is made once for each process.
func (r *Reconciler[T, W]) create(ctx context.Context, owner T, m *memory, s Step) outcome {
	blind := r.applier.isUnwatched(s.Object)
	if _, made := m.recall(keyOf(s.Object)); blind && made {
		return outcome{verb: "create", step: s, none: true}
	}
	key := keyOf(s.Object)
	if err := r.mint(ctx, s.Object); err != nil {
		return outcome{verb: "create", step: s, err: err}
	}
	err := r.deps.Client.Create(ctx, s.Object.(client.Object), r.applier.createOptions(s.Object)...)
	s.Object.GetObjectKind().SetGroupVersionKind(key.kind)
	existed := apierrors.IsAlreadyExists(err)
	if existed {
		err = r.applier.whose(ctx, owner, s.Object)
	} else {
		r.wrote(ctx, "create", s, err)
	}
	if err == nil && blind {
		m.remember(key, seen{})
	}
	return outcome{verb: "create", step: s, err: err, none: existed}
}

func (r *Reconciler[T, W]) mint(ctx context.Context, o Object) error {
	if r.Mint == nil {
		return nil
	}
	return r.Mint(ctx, r.deps.Live, o)
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
	return until(ctx, steps, do, func(outcome) bool { return false })
}

// until is each, but begins no further step once an outcome ends it. Steps under way are waited for.
func until(ctx context.Context, steps []Step, do func(context.Context, Step) outcome, ends func(outcome) bool) []outcome {
	outs := make([]outcome, len(steps))
	var wg sync.WaitGroup
	var over atomic.Bool
	slots := make(chan struct{}, parallel)
	begun := 0
	for i, s := range steps {
		slots <- struct{}{}
		if over.Load() {
			break
		}
		begun++
		wg.Go(func() {
			outs[i] = do(ctx, s)
			if ends(outs[i]) {
				over.Store(true)
			}
			<-slots
		})
	}
	wg.Wait()
	return outs[:begun]
}

// slowStart runs do for the steps in batches of 1, 4 and 16, waiting for each, then for all the others as fast as they go, and
// begins no further step after a failure: a job of 500 pods over its quota must cost one refused request, not 500.
func slowStart(ctx context.Context, steps []Step, do func(context.Context, Step) outcome) []outcome {
	failed := func(out outcome) bool { return out.err != nil && !errors.Is(out.err, errWait) }
	var all []outcome
	for size := 1; len(steps) > 0; size *= 4 {
		if size >= parallel {
			size = len(steps)
		}
		batch := steps[:min(size, len(steps))]
		steps = steps[len(batch):]
		all = append(all, until(ctx, batch, do, failed)...)
		if slices.ContainsFunc(all, failed) {
			break
		}
	}
	return all
}
