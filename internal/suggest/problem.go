// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

// Type is what values a parameter takes.
type Type string

// The types of parameters.
const (
	Double      Type = "Double"      // real numbers in [Min, Max]
	Int         Type = "Int"         // whole numbers in [Min, Max], both ends included
	Discrete    Type = "Discrete"    // numbers out of Values
	Categorical Type = "Categorical" // words out of Values, without an order
	Ordinal     Type = "Ordinal"     // words out of Values, in their order
)

// Distribution is how a Double or Int parameter is drawn, and the scale on
// which models see it.
type Distribution string

// The distributions of numeric parameters.
const (
	Uniform    Distribution = "Uniform"
	LogUniform Distribution = "LogUniform"
	Normal     Distribution = "Normal"
	LogNormal  Distribution = "LogNormal"
)

// Parameter is one dimension of a search space.
type Parameter struct {
	Name         string
	Type         Type
	Min, Max     float64      // of Double and Int
	Step         float64      // of Double and Int; 0 is none (1 for Int)
	Distribution Distribution // of Double and Int; empty is Uniform
	Mean, StdDev *float64     // of Normal and LogNormal (of the logarithm); nil is the middle and a sixth of the range
	Values       []string     // of Discrete, Categorical and Ordinal
	When         *When        // nil is always
}

// When makes a parameter exist only while its parent has one of Values.
type When struct {
	Parameter string
	Values    []string
}

// Linear is the constraint sum(Coefficients[name] * value) <= Bound.
type Linear struct {
	Coefficients map[string]float64
	Bound        float64
}

// Space is what a search may propose.
type Space struct {
	Parameters []Parameter
	Linear     []Linear
	// Allows says whether an assignment meets the constraints that are
	// expressions; nil allows everything. It has to be pure.
	Allows func(Assignment) bool
}

// Assignment is a value of each active parameter by name, in the parameter's
// own spelling: the shortest decimal of a number, the word of a category. An
// inactive conditional parameter is absent.
type Assignment map[string]string

// Direction is whether an objective is minimised or maximised.
type Direction string

// The directions of objectives.
const (
	Minimize Direction = "Minimize"
	Maximize Direction = "Maximize"
)

// Objective is a metric and what is wanted of it.
type Objective struct {
	Metric    string
	Direction Direction
	// Reference is the worst value of interest, for the hypervolume of several
	// objectives; nil lets the search choose it from what was seen.
	Reference *float64
}

// State is how far a trial came.
type State string

// The states of trials.
const (
	Pending   State = "Pending"   // proposed or running
	Succeeded State = "Succeeded" // has a value for every objective
	Stopped   State = "Stopped"   // stopped early; Curve has what it reached
	Failed    State = "Failed"    // no usable value: a crash, a NaN, no metric
)

// Point is one value of the first objective's metric as training went on.
type Point struct {
	Step  float64 // the resource spent: epochs, steps or what the user counts
	Value float64
}

// Trial is one evaluation. Trials are given in the order they were proposed;
// Finished orders their completions, 1 first, and is 0 while Pending.
type Trial struct {
	Name       string
	Assignment Assignment
	Values     []float64 // one for each objective, when Succeeded
	Curve      []Point
	State      State
	Finished   int
	// Labels are what the algorithm said of the trial when it proposed it (the
	// bracket and rung, the generation, the parent).
	Labels map[string]string
	// Prior marks a trial of an earlier experiment: evidence for a model, but
	// no part of this search's count. It finished before all trials of this one.
	Prior bool
}

// Problem is what does not change during a search.
type Problem struct {
	Space      Space
	Objectives []Objective
	Algorithm  string
	Settings   map[string]string
	Seed       uint64
	MaxTrials  int // 0 is without end
	Parallel   int // how many trials run at once, 0 is unknown
}

// Proposal is a trial to make.
type Proposal struct {
	Assignment Assignment
	Labels     map[string]string
	// Parent is the name of the trial whose checkpoint this one continues from;
	// empty is none.
	Parent string
	// Why says in a few words how the proposal came about.
	Why string
}

// Answer is what Next returns. Fewer proposals than asked for is not an error:
// the rest comes when trials complete. Exhausted is not empty when there will
// be no further proposals ever, and says why.
type Answer struct {
	Proposals []Proposal
	Exhausted string
}
