// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

type uid = types.UID

// World is what an Experiment is decided by.
type World struct {
	// Trials are the Trials of the experiment.
	Trials []v1alpha1.Trial
	// Pages are the records of older ones.
	Pages []Page
	// Prior are results from elsewhere.
	Prior []suggest.Trial
	// Template is what spec.trialTemplate.configMap has, where it names one; Missing says what of it is not there.
	Template *runtime.RawExtension
	Missing  string
	// Answer is what the search says; Searching is true while it has no answer.
	Answer    study.Result
	Searching bool
	// Live is what is known of the metrics of running trials.
	Live map[uid]trialjob.Measured
	// Recorded is true when the Suggestion of the experiment is there.
	Recorded bool
	// studied is what follows from the above; nil when it is not worked out yet.
	studied *studied
}

// Page is a ConfigMap with records.
type Page struct {
	Name    string
	Records []study.Record
	// LeftOut is what of it is no record; empty when all are.
	LeftOut string
}

// marks are proposals by their numbers.
type marks []bool

func (m marks) has(t *v1alpha1.Trial) bool {
	n := int(t.Spec.Proposal)
	return n >= 0 && n < len(m) && m[n]
}

// archived are those of which a page has the record.
func (w World) archived() marks {
	var known marks
	for _, p := range w.Pages {
		for i := range p.Records {
			if n := p.Records[i].Proposal; n >= len(known) {
				known = append(known, make(marks, n+1-len(known))...)
			}
			known[p.Records[i].Proposal] = true
		}
	}
	return known
}

// numbered is what is wrong with the numbers of a trial, which somebody may have made by hand.
func numbered(t *v1alpha1.Trial) error {
	r := study.Record{Proposal: int(t.Spec.Proposal), Index: int(t.Spec.Index)}
	for _, f := range t.Spec.Follows {
		r.Follows = append(r.Follows, int(f))
	}
	return r.Check()
}

// leftOut says what is no part of the search although it is the experiment's; empty when all is.
func leftOut(w World) string {
	for _, p := range w.Pages {
		if p.LeftOut != "" {
			return fmt.Sprintf("ConfigMap %s is left out in part: %s. Delete it if Millrace did not make it.", p.Name, p.LeftOut)
		}
	}
	for i := range w.Trials {
		if err := numbered(&w.Trials[i]); err != nil {
			return fmt.Sprintf("Trial %s is left out: spec.%s. Delete it.", w.Trials[i].Name, err)
		}
	}
	return ""
}

// studied is the search of an experiment with its trials, and what is wrong with it.
type studied struct {
	summary study.Summary
	faults  []suggest.Fault
}

// study works out what is decided by the trials, once for a pass.
func (w *World) study(e *v1alpha1.Experiment) {
	s, faults := studyOf(e, *w)
	w.studied = &studied{s.Sum(), faults}
}

// studyOf is the search of an experiment with its trials.
func studyOf(e *v1alpha1.Experiment, w World) (study.Study, []suggest.Fault) {
	problem, faults := study.ProblemOf(study.SearchOf(e), e.Namespace, e.Name)
	s := study.Study{Problem: problem, Objectives: e.Spec.Objectives, Prior: w.Prior, Parallel: int(max(e.Spec.ParallelTrials, 1))}
	for _, b := range e.Spec.Budget {
		s.Resources = append(s.Resources, b.Resource)
	}
	archived := w.archived()
	s.Records = make([]study.Record, 0, len(archived)+len(w.Trials))
	for _, p := range w.Pages {
		s.Records = append(s.Records, p.Records...)
	}
	paged := len(s.Records)
	for i := range w.Trials {
		if t := &w.Trials[i]; !archived.has(t) && numbered(t) == nil {
			s.Records = append(s.Records, study.RecordOf(t))
		}
	}
	// Pages are sorted, and older than nearly all there is beside them.
	byProposal := func(a, b study.Record) int {
		return cmp.Or(cmp.Compare(a.Proposal, b.Proposal), strings.Compare(a.Name, b.Name))
	}
	slices.SortFunc(s.Records[paged:], byProposal)
	if !slices.IsSortedFunc(s.Records, byProposal) {
		slices.SortFunc(s.Records, byProposal)
	}
	return s, faults
}

// room is how many trials may be made now.
func (s state) room(e *v1alpha1.Experiment) int {
	made := len(s.study.Records)
	places := int(e.Spec.ParallelTrials) - (made - s.study.Over)
	if e.Spec.MaxTrials > 0 {
		places = min(places, int(e.Spec.MaxTrials)-made)
	}
	return max(places, 0)
}

// template is the template of the trials, with what its ConfigMap has.
func template(e *v1alpha1.Experiment, w World) v1alpha1.TrialTemplate {
	t := *e.Spec.TrialTemplate.DeepCopy()
	if t.ConfigMap != nil {
		t.ConfigMap, t.Job = nil, w.Template
	}
	return t
}
