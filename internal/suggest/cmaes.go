// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

var cmaSettings = []Setting{
	{Name: "sigma", Kind: Real, Range: positiveBelow(10), Default: "0.16666666666666666", Doc: "how widely the first generation is spread, as a share of each range"},
	{Name: "popsize", Aliases: []string{"population_size"}, Kind: Whole, Range: between(2, 10000), Doc: "the size of a generation, by default 4 + 3 ln(parameters)"},
	{
		Name: "restart_strategy", Kind: Enum, Words: []string{"none", "ipop", "bipop"}, Default: "ipop",
		Doc: "whether a run that has converged is followed by one with larger generations (ipop), or by large and small ones in turn (bipop)",
	},
	randomState,
}

func cmaFaults(p Problem, _ settings) []Fault {
	faults := oneObjective(p, "CMAES")
	if n := len(newCube(p.Space).numbers()); n < 2 {
		faults = append(faults, Fault{"parameters", fmt.Sprintf("CMAES needs two parameters that are numbers or in an order, and there are %d: use TPE", n)})
	}
	return faults
}

func oneObjective(p Problem, algorithm string) []Fault {
	if len(p.Objectives) == 1 {
		return nil
	}
	return []Fault{{"objectives", algorithm + " works with one objective: keep one, or use MultivariateTPE or BayesianOptimization"}}
}

// numbers are the dimensions that have an order.
func (c *cube) numbers() []int {
	var out []int
	for i := range c.dims {
		if c.dims[i].Type != Categorical {
			out = append(out, i)
		}
	}
	return out
}

// The labels of CMA-ES: a trial was drawn from the distribution of a generation
// of a run, as its member of that number.
const (
	runLabel        = "run"
	generationLabel = "generation"
	memberLabel     = "member"
)

// sample names a draw of CMA-ES; it is all that a trial has to remember.
type sample struct{ run, generation, member int }

func (m sample) labels() map[string]string {
	return map[string]string{
		runLabel: strconv.Itoa(m.run), generationLabel: strconv.Itoa(m.generation), memberLabel: strconv.Itoa(m.member),
	}
}

func sampleOf(t *Trial) (sample, bool) {
	run, err1 := strconv.Atoi(t.Labels[runLabel])
	generation, err2 := strconv.Atoi(t.Labels[generationLabel])
	member, err3 := strconv.Atoi(t.Labels[memberLabel])
	return sample{run, generation, member}, err1 == nil && err2 == nil && err3 == nil
}

// cmaes proposes members of the current generation, for as long as it takes until
// enough of them have finished: no worker waits for the last one.
func cmaes(s *search, n int) Answer {
	run, m := s.replay()
	return s.eachNew(n, func(index int) (Proposal, bool) {
		defer func() { m.member++ }()
		a := s.cube.assignment(s.member(run, m))
		why := fmt.Sprintf("member %d of generation %d of run %d", m.member, m.generation, m.run)
		if s.seen[s.cube.key(a)] || !s.cube.meets(a) {
			q, ok := s.drawn("cma", index, why+", drawn at random for what it draws is tried or forbidden")
			q.Labels = m.labels()
			return q, ok
		}
		return Proposal{Assignment: a, Labels: m.labels(), Why: why}, true
	})
}

// replay repeats what was learned from the trials: it is the current run, and the
// sample that is next. Each time that as many trials of a run have finished as a
// generation is large, they are learned from, the late ones of the generation
// before among them: with many workers most would else be late.
func (s *search) replay() (*evolution, sample) {
	drawn, run := s.members(), s.firstRun()
	at, done := map[*Trial][]float64{}, s.finishedIn(run.number)
	for generation := 0; ; {
		m := sample{run.number, generation, 0}
		for _, f := range drawn[m] {
			number, _ := sampleOf(f.trial)
			at[f.trial] = s.positions(run, number, f)
			m.member = max(m.member, number.member+1)
		}
		if len(done) < run.size || s.cancelled() {
			return run, m
		}
		s.learn(run, done[:run.size], at)
		done = done[run.size:]
		generation++
		if run.converged() && s.set.word("restart_strategy") != "none" {
			run, generation = s.restart(run), 0
			done = s.finishedIn(run.number)
		}
	}
}

// members are the facts by the generation they were drawn in.
func (s *search) members() map[sample][]fact {
	out := map[sample][]fact{}
	for _, f := range s.facts {
		if m, ok := sampleOf(f.trial); ok && !f.trial.Prior {
			m.member = 0
			out[m] = append(out[m], f)
		}
	}
	return out
}

// finishedIn are the facts of a run's trials, as they finished.
func (s *search) finishedIn(run int) []fact {
	var out []fact
	for _, f := range s.facts {
		if m, ok := sampleOf(f.trial); ok && !f.trial.Prior && m.run == run && f.state != Pending {
			out = append(out, f)
		}
	}
	return out
}

// learn moves the run on by some trials, the best first, that were drawn at these
// positions. A failure is worse than any loss.
func (s *search) learn(run *evolution, facts []fact, at map[*Trial][]float64) {
	slices.SortStableFunc(facts, func(a, b fact) int { return cmp.Compare(lossOf(a), lossOf(b)) })
	steps := make([][]float64, len(facts))
	losses := make([]float64, len(facts))
	for i, f := range facts {
		x, drawn := at[f.trial]
		if !drawn {
			// Somebody changed the labels: they name a generation that is not yet.
			x = s.positions(run, sample{run.number, -1, 0}, f)
		}
		losses[i], steps[i] = lossOf(f), run.step(x)
	}
	run.update(steps, losses)
	for j, i := range s.cube.numbers() {
		run.keepMoving(j, &s.cube.dims[i])
	}
}

func lossOf(f fact) float64 {
	if f.loss == nil {
		return math.Inf(1)
	}
	return f.loss[0]
}

// positions are where a member was drawn, before it was rounded to values; those
// of its trial when the member was replaced, or its trial is not what was drawn.
func (s *search) positions(run *evolution, m sample, f fact) []float64 {
	u := s.member(run, m)
	if s.cube.key(s.cube.assignment(u)) != s.cube.key(f.trial.Assignment) {
		for i, v := range f.at {
			if !math.IsNaN(v) {
				u[i] = v
			}
		}
	}
	x := make([]float64, 0, len(u))
	for _, i := range s.cube.numbers() {
		x = append(x, u[i])
	}
	return x
}

// redraws is how often a member outside the cube is drawn again, before it is
// moved to the border.
const redraws = 100

// member is the point of the cube that a sample stands for: a draw of the run's
// distribution, with words by chance.
func (s *search) member(run *evolution, m sample) []float64 {
	purpose := fmt.Sprintf("cma %d %d", m.run, m.generation)
	r := stream(s.Seed, purpose, m.member)
	u := s.cube.uniform(r)
	n := len(run.mean)
	x := run.at(orthogonal(n, stream(s.Seed, purpose+" block", m.member/n))[m.member%n])
	for i := 0; i < redraws && outside(x); i++ {
		x = run.at(normal(n, r))
	}
	for j, i := range s.cube.numbers() {
		u[i] = min(max(x[j], 0), 1)
	}
	return u
}

func outside(x []float64) bool {
	return slices.ContainsFunc(x, func(v float64) bool { return v < 0 || v > 1 })
}

// firstRun begins at the best trial of earlier experiments, or in the middle.
func (s *search) firstRun() *evolution {
	mean := make([]float64, len(s.cube.numbers()))
	for j := range mean {
		mean[j] = 0.5
	}
	least := math.Inf(1)
	for _, f := range s.facts {
		if !f.trial.Prior || f.state != Succeeded || f.loss[0] >= least {
			continue
		}
		least = f.loss[0]
		for j, i := range s.cube.numbers() {
			if !math.IsNaN(f.at[i]) {
				mean[j] = f.at[i]
			}
		}
	}
	size := 4 + int(3*math.Log(float64(len(mean))))
	if s.set.has("popsize") {
		size = s.set.int("popsize")
	}
	return newEvolution(0, size, mean, s.set.float("sigma"))
}

// maxGeneration bounds how large the generations of restarts become.
const maxGeneration = 10000

// restart begins a run anywhere: with generations of double the size, or, every
// other time with bipop, with a small one of a narrow spread.
func (s *search) restart(last *evolution) *evolution {
	r := stream(s.Seed, "cma restart", last.number)
	number, first := last.number+1, s.firstRun()
	large := number
	if s.set.word("restart_strategy") == "bipop" {
		large = (number + 1) / 2
	}
	size, spread := min(first.size<<min(large, 20), maxGeneration), first.sigma
	if s.set.word("restart_strategy") == "bipop" && number%2 == 0 {
		small := float64(size) / float64(first.size) / 2
		size = max(first.size, int(float64(first.size)*math.Pow(small, square(r.Float64()))))
		spread *= math.Pow(10, -2*r.Float64())
	}
	return newEvolution(number, size, chance(len(first.mean), r), spread)
}

func square(v float64) float64 { return v * v }
