// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Direction says whether less or more of a metric is better.
//
// +kubebuilder:validation:Enum=Minimize;Maximize
type Direction string

// The directions.
const (
	Minimize Direction = "Minimize"
	Maximize Direction = "Maximize"
)

// Strategy says which of the values that a metric had during a trial counts.
//
// +kubebuilder:validation:Enum=Min;Max;Latest
type Strategy string

// The strategies.
const (
	StrategyMin    Strategy = "Min"
	StrategyMax    Strategy = "Max"
	StrategyLatest Strategy = "Latest"
)

// Objective is a metric that is searched for the best of.
type Objective struct {
	// metric is the metric's name as the training writes it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Metric string `json:"metric,omitempty"`

	// direction says what is better: Minimize or Maximize.
	// +required
	Direction Direction `json:"direction,omitempty"`

	// goal is the value with which the search is content, a real number; without one it goes on to spec.maxTrials. Of several
	// objectives all that have a goal must reach it in one trial.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$')",message="goal must be a real number, such as '0.99'"
	// +optional
	Goal string `json:"goal,omitempty"`

	// strategy says which of the metric's values of a trial counts: Min, Max or Latest. The default is Min of what is minimised and
	// Max of what is maximised.
	// +optional
	Strategy Strategy `json:"strategy,omitempty"`

	// worst is the worst value of interest, a real number, by which sets of trials are compared when there are several
	// objectives. Without one the search chooses it from what it has seen.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$')",message="worst must be a real number, such as '0.5'"
	// +optional
	Worst string `json:"worst,omitempty"`
}

// Metric is a metric that is kept of each trial beside the objectives.
type Metric struct {
	// name is the metric's name as the training writes it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Name string `json:"name,omitempty"`

	// strategy says which of its values is shown: Min, Max or Latest.
	// +kubebuilder:default=Latest
	// +optional
	Strategy Strategy `json:"strategy,omitempty"`
}

// AlgorithmName is a search algorithm, by the name that Millrace or Katib has for it.
//
// +kubebuilder:validation:Enum=Random;Grid;Sobol;TPE;MultivariateTPE;CMAES;BayesianOptimization;Hyperband;ASHA;BOHB;PBT;random;grid;sobol;tpe;multivariate-tpe;cmaes;CMA-ES;bayesianoptimization;hyperband;asha;bohb;pbt
type AlgorithmName string

// Algorithm is how the next trials are chosen.
//
// +kubebuilder:validation:XValidation:rule="!has(self.settings) || [{'random': ['random_state'], 'grid': ['points', 'order', 'random_state'], 'sobol': ['random_state'], 'bayesianoptimization': ['base_estimator', 'n_initial_points', 'acq_func', 'acq_optimizer', 'random_state'], 'tpe': ['n_startup_trials', 'n_startup_jobs', 'n_ei_candidates', 'n_EI_candidates', 'gamma', 'prior_weight', 'random_state'], 'multivariate-tpe': ['n_startup_trials', 'n_startup_jobs', 'n_ei_candidates', 'n_EI_candidates', 'gamma', 'prior_weight', 'random_state'], 'multivariatetpe': ['n_startup_trials', 'n_startup_jobs', 'n_ei_candidates', 'n_EI_candidates', 'gamma', 'prior_weight', 'random_state'], 'cma-es': ['sigma', 'popsize', 'population_size', 'restart_strategy', 'random_state'], 'cmaes': ['sigma', 'popsize', 'population_size', 'restart_strategy', 'random_state'], 'hyperband': ['r_l', 'max_resource', 'eta', 'reduction_factor', 'min_resource', 'resource_name', 'random_state'], 'asha': ['r_l', 'max_resource', 'eta', 'reduction_factor', 'min_resource', 'resource_name', 'random_state'], 'bohb': ['random_fraction', 'min_points_in_model', 'gamma', 'top_share', 'n_ei_candidates', 'num_samples', 'prior_weight', 'r_l', 'max_resource', 'eta', 'reduction_factor', 'min_resource', 'resource_name', 'random_state'], 'pbt': ['n_population', 'population_size', 'truncation_threshold', 'resample_probability', 'suggestion_trial_dir', 'random_state']}[self.name.lowerAscii()]].all(known, self.settings.all(s, s.name in known))",fieldPath=".settings",messageExpression="{'random': 'Random has the settings random_state: correct or remove any other', 'grid': 'Grid has the settings points, order, random_state: correct or remove any other', 'sobol': 'Sobol has the settings random_state: correct or remove any other', 'bayesianoptimization': 'BayesianOptimization has the settings base_estimator, n_initial_points, acq_func, acq_optimizer, random_state: correct or remove any other', 'tpe': 'TPE has the settings n_startup_trials, n_startup_jobs, n_ei_candidates, n_EI_candidates, gamma, prior_weight, random_state: correct or remove any other', 'multivariate-tpe': 'MultivariateTPE has the settings n_startup_trials, n_startup_jobs, n_ei_candidates, n_EI_candidates, gamma, prior_weight, random_state: correct or remove any other', 'multivariatetpe': 'MultivariateTPE has the settings n_startup_trials, n_startup_jobs, n_ei_candidates, n_EI_candidates, gamma, prior_weight, random_state: correct or remove any other', 'cma-es': 'CMAES has the settings sigma, popsize, population_size, restart_strategy, random_state: correct or remove any other', 'cmaes': 'CMAES has the settings sigma, popsize, population_size, restart_strategy, random_state: correct or remove any other', 'hyperband': 'Hyperband has the settings r_l, max_resource, eta, reduction_factor, min_resource, resource_name, random_state: correct or remove any other', 'asha': 'ASHA has the settings r_l, max_resource, eta, reduction_factor, min_resource, resource_name, random_state: correct or remove any other', 'bohb': 'BOHB has the settings random_fraction, min_points_in_model, gamma, top_share, n_ei_candidates, num_samples, prior_weight, r_l, max_resource, eta, reduction_factor, min_resource, resource_name, random_state: correct or remove any other', 'pbt': 'PBT has the settings n_population, population_size, truncation_threshold, resample_probability, suggestion_trial_dir, random_state: correct or remove any other'}[self.name.lowerAscii()]"
// +kubebuilder:validation:XValidation:rule="!has(self.settings) || [{'random/random_state': ['whole', '0', 'none', 'none'], 'grid/points': ['whole', '1', '1000', 'none'], 'grid/random_state': ['whole', '0', 'none', 'none'], 'sobol/random_state': ['whole', '0', 'none', 'none'], 'bayesianoptimization/n_initial_points': ['whole', '0', 'none', 'none'], 'bayesianoptimization/random_state': ['whole', '0', 'none', 'none'], 'tpe/n_startup_trials': ['whole', '0', 'none', 'none'], 'tpe/n_startup_jobs': ['whole', '0', 'none', 'none'], 'tpe/n_ei_candidates': ['whole', '1', '10000', 'none'], 'tpe/n_EI_candidates': ['whole', '1', '10000', 'none'], 'tpe/gamma': ['real', '0', '1', 'open'], 'tpe/prior_weight': ['real', '0', 'none', 'open'], 'tpe/random_state': ['whole', '0', 'none', 'none'], 'multivariate-tpe/n_startup_trials': ['whole', '0', 'none', 'none'], 'multivariatetpe/n_startup_trials': ['whole', '0', 'none', 'none'], 'multivariate-tpe/n_startup_jobs': ['whole', '0', 'none', 'none'], 'multivariatetpe/n_startup_jobs': ['whole', '0', 'none', 'none'], 'multivariate-tpe/n_ei_candidates': ['whole', '1', '10000', 'none'], 'multivariatetpe/n_ei_candidates': ['whole', '1', '10000', 'none'], 'multivariate-tpe/n_EI_candidates': ['whole', '1', '10000', 'none'], 'multivariatetpe/n_EI_candidates': ['whole', '1', '10000', 'none'], 'multivariate-tpe/gamma': ['real', '0', '1', 'open'], 'multivariatetpe/gamma': ['real', '0', '1', 'open'], 'multivariate-tpe/prior_weight': ['real', '0', 'none', 'open'], 'multivariatetpe/prior_weight': ['real', '0', 'none', 'open'], 'multivariate-tpe/random_state': ['whole', '0', 'none', 'none'], 'multivariatetpe/random_state': ['whole', '0', 'none', 'none'], 'cma-es/sigma': ['real', '0', '10', 'open'], 'cmaes/sigma': ['real', '0', '10', 'open'], 'cma-es/popsize': ['whole', '2', '10000', 'none'], 'cmaes/popsize': ['whole', '2', '10000', 'none'], 'cma-es/population_size': ['whole', '2', '10000', 'none'], 'cmaes/population_size': ['whole', '2', '10000', 'none'], 'cma-es/random_state': ['whole', '0', 'none', 'none'], 'cmaes/random_state': ['whole', '0', 'none', 'none'], 'hyperband/r_l': ['real', '0', 'none', 'open'], 'hyperband/max_resource': ['real', '0', 'none', 'open'], 'hyperband/eta': ['real', '1.5', 'none', 'none'], 'hyperband/reduction_factor': ['real', '1.5', 'none', 'none'], 'hyperband/min_resource': ['real', '0', 'none', 'open'], 'hyperband/random_state': ['whole', '0', 'none', 'none'], 'asha/r_l': ['real', '0', 'none', 'open'], 'asha/max_resource': ['real', '0', 'none', 'open'], 'asha/eta': ['real', '1.5', 'none', 'none'], 'asha/reduction_factor': ['real', '1.5', 'none', 'none'], 'asha/min_resource': ['real', '0', 'none', 'open'], 'asha/random_state': ['whole', '0', 'none', 'none'], 'bohb/random_fraction': ['real', '0', '1', 'none'], 'bohb/min_points_in_model': ['whole', '1', 'none', 'none'], 'bohb/gamma': ['real', '0', '1', 'open'], 'bohb/top_share': ['real', '0', '1', 'open'], 'bohb/n_ei_candidates': ['whole', '1', '10000', 'none'], 'bohb/num_samples': ['whole', '1', '10000', 'none'], 'bohb/prior_weight': ['real', '0', 'none', 'open'], 'bohb/r_l': ['real', '0', 'none', 'open'], 'bohb/max_resource': ['real', '0', 'none', 'open'], 'bohb/eta': ['real', '1.5', 'none', 'none'], 'bohb/reduction_factor': ['real', '1.5', 'none', 'none'], 'bohb/min_resource': ['real', '0', 'none', 'open'], 'bohb/random_state': ['whole', '0', 'none', 'none'], 'pbt/n_population': ['whole', '2', '10000', 'none'], 'pbt/population_size': ['whole', '2', '10000', 'none'], 'pbt/truncation_threshold': ['real', '0', '1', 'none'], 'pbt/resample_probability': ['real', '0', '1', 'none'], 'pbt/random_state': ['whole', '0', 'none', 'none']}].all(t, self.settings.all(s, !((self.name.lowerAscii() + '/' + s.name) in t) || [t[self.name.lowerAscii() + '/' + s.name]].all(l, (s.value.matches('^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$') && (l[0] != 'whole' || s.value.matches('^[-+]?[0-9]+$')) && (l[1] == 'none' || (l[3] == 'open' ? double(s.value) > double(l[1]) : double(s.value) >= double(l[1]))) && (l[2] == 'none' || (l[3] == 'open' ? double(s.value) < double(l[2]) : double(s.value) <= double(l[2])))))))",fieldPath=".settings",message="a setting is no number, or out of its range: docs/experiment.md lists the settings of each algorithm and rule with their ranges"
// +kubebuilder:validation:XValidation:rule="!has(self.settings) || self.settings.all(s, (s.name != 'acq_func' || s.value in ['gp_hedge', 'EI', 'LCB', 'PI']) && (s.name != 'acq_optimizer' || s.value in ['auto', 'lbfgs', 'sampling']) && (s.name != 'base_estimator' || s.value in ['GP']) && (s.name != 'order' || s.value in ['Shuffled', 'Lexicographic']) && (s.name != 'restart_strategy' || s.value in ['none', 'ipop', 'bipop']))",fieldPath=".settings",message="a setting is none of its words: docs/experiment.md lists them"
type Algorithm struct {
	// name of the algorithm: Random, Grid, Sobol, TPE, MultivariateTPE, CMAES, BayesianOptimization, Hyperband, ASHA, BOHB or PBT. The names of
	// Katib (random, grid, sobol, tpe, multivariate-tpe, cmaes, bayesianoptimization, hyperband, pbt) mean the same.
	// +required
	Name AlgorithmName `json:"name,omitempty"`

	// settings of the algorithm, by the names they have in Katib; docs/experiment.md lists them.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Settings []SearchSetting `json:"settings,omitempty"`
}

// StopRuleName is a rule by which trials are stopped early.
//
// +kubebuilder:validation:Enum=MedianStop;ASHA;Threshold;Patience;medianstop;asha
type StopRuleName string

// EarlyStopping ends trials early that are not worth their time.
//
// +kubebuilder:validation:XValidation:rule="!has(self.settings) || [{'medianstop': ['min_trials_required', 'start_step', 'percentile'], 'asha': ['min_resource', 'max_resource', 'eta', 'reduction_factor', 'min_early_stopping_rate', 'bootstrap_count'], 'threshold': ['lower', 'upper', 'start_step'], 'patience': ['patience', 'min_delta']}[self.name.lowerAscii()]].all(known, self.settings.all(s, s.name in known))",fieldPath=".settings",messageExpression="{'medianstop': 'MedianStop has the settings min_trials_required, start_step, percentile: correct or remove any other', 'asha': 'ASHA has the settings min_resource, max_resource, eta, reduction_factor, min_early_stopping_rate, bootstrap_count: correct or remove any other', 'threshold': 'Threshold has the settings lower, upper, start_step: correct or remove any other', 'patience': 'Patience has the settings patience, min_delta: correct or remove any other'}[self.name.lowerAscii()]"
// +kubebuilder:validation:XValidation:rule="!has(self.settings) || [{'medianstop/min_trials_required': ['whole', '1', 'none', 'none'], 'medianstop/start_step': ['whole', '1', 'none', 'none'], 'medianstop/percentile': ['real', '0', '100', 'open'], 'asha/min_resource': ['real', '0', 'none', 'open'], 'asha/max_resource': ['real', '0', 'none', 'open'], 'asha/eta': ['real', '1.5', 'none', 'none'], 'asha/reduction_factor': ['real', '1.5', 'none', 'none'], 'asha/min_early_stopping_rate': ['whole', '0', '30', 'none'], 'asha/bootstrap_count': ['whole', '0', 'none', 'none'], 'threshold/lower': ['real', 'none', 'none', 'none'], 'threshold/upper': ['real', 'none', 'none', 'none'], 'threshold/start_step': ['whole', '1', 'none', 'none'], 'patience/patience': ['whole', '1', 'none', 'none'], 'patience/min_delta': ['real', '0', 'none', 'none']}].all(t, self.settings.all(s, !((self.name.lowerAscii() + '/' + s.name) in t) || [t[self.name.lowerAscii() + '/' + s.name]].all(l, (s.value.matches('^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$') && (l[0] != 'whole' || s.value.matches('^[-+]?[0-9]+$')) && (l[1] == 'none' || (l[3] == 'open' ? double(s.value) > double(l[1]) : double(s.value) >= double(l[1]))) && (l[2] == 'none' || (l[3] == 'open' ? double(s.value) < double(l[2]) : double(s.value) <= double(l[2])))))))",fieldPath=".settings",message="a setting is no number, or out of its range: docs/experiment.md lists the settings of each algorithm and rule with their ranges"
type EarlyStopping struct {
	// name of the rule: MedianStop stops a trial that is worse than the median of the others at the same step; ASHA lets the best of
	// each rung go on; Threshold stops one whose value is out of bounds, Patience one that does not become better. Katib's medianstop means the same.
	// +required
	Name StopRuleName `json:"name,omitempty"`

	// settings of the rule; docs/experiment.md lists them.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Settings []SearchSetting `json:"settings,omitempty"`
}

// SearchSetting is a setting of an algorithm.
type SearchSetting struct {
	// name of the setting.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Name string `json:"name,omitempty"`

	// value of the setting, as text.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +required
	Value string `json:"value,omitempty"`
}

// ParameterType is what values a parameter takes.
//
// +kubebuilder:validation:Enum=Double;Int;Discrete;Categorical;Ordinal
type ParameterType string

// The types of parameters.
const (
	ParameterDouble      ParameterType = "Double"
	ParameterInt         ParameterType = "Int"
	ParameterDiscrete    ParameterType = "Discrete"
	ParameterCategorical ParameterType = "Categorical"
	ParameterOrdinal     ParameterType = "Ordinal"
)

// Distribution is how a number is drawn, and the scale on which models see it.
//
// +kubebuilder:validation:Enum=Uniform;LogUniform;Normal;LogNormal
type Distribution string

// The distributions.
const (
	Uniform    Distribution = "Uniform"
	LogUniform Distribution = "LogUniform"
	Normal     Distribution = "Normal"
	LogNormal  Distribution = "LogNormal"
)

// Parameter is one dimension of what is searched. Real numbers are text, so that they mean the same to everybody who reads them.
//
// +kubebuilder:validation:XValidation:rule="!(self.type in ['Double', 'Int']) || (has(self.min) && has(self.max) && !has(self.values))",messageExpression="'parameters[' + self.name + ']: type ' + self.type + ' needs min and max, and no values'"
// +kubebuilder:validation:XValidation:rule="self.type in ['Double', 'Int'] || (has(self.values) && !has(self.min) && !has(self.max) && !has(self.step) && !has(self.distribution))",messageExpression="'parameters[' + self.name + ']: type ' + self.type + ' needs values, and no min, max, step or distribution'"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || double(self.min) < double(self.max)",messageExpression="'parameters[' + self.name + ']: min must be less than max'"
// +kubebuilder:validation:XValidation:rule="!has(self.distribution) || !(self.distribution in ['LogUniform', 'LogNormal']) || !has(self.min) || double(self.min) > 0.0",messageExpression="'parameters[' + self.name + ']: ' + self.distribution + ' needs a min above 0: a logarithm of 0 is not a number'"
// +kubebuilder:validation:XValidation:rule="self.type != 'Int' || !has(self.min) || !has(self.max) || (self.min.matches('^[-+]?[0-9]+$') && self.max.matches('^[-+]?[0-9]+$') && (!has(self.step) || self.step.matches('^[+]?[0-9]+$')))",messageExpression="'parameters[' + self.name + ']: type Int needs whole numbers in min, max and step'"
// +kubebuilder:validation:XValidation:rule="!has(self.step) || double(self.step) > 0.0",messageExpression="'parameters[' + self.name + ']: step must be above 0'"
// +kubebuilder:validation:XValidation:rule="(!has(self.mean) && !has(self.stdDev)) || (has(self.distribution) && self.distribution in ['Normal', 'LogNormal'])",messageExpression="'parameters[' + self.name + ']: mean and stdDev go with distribution Normal or LogNormal'"
// +kubebuilder:validation:XValidation:rule="self.type != 'Discrete' || !has(self.values) || self.values.all(v, v.matches('^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$'))",messageExpression="'parameters[' + self.name + ']: values of type Discrete are numbers; use Categorical or Ordinal for words'"
type Parameter struct {
	// name of the parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[^${}\s]+$`
	// +required
	Name string `json:"name,omitempty"`

	// type is what values it takes: Double and Int are numbers from min to max, both included; Discrete are the numbers of values;
	// Categorical are the words of values without an order, Ordinal those in their order.
	// +required
	Type ParameterType `json:"type,omitempty"`

	// min is the least value of a Double or an Int, a real number.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$`
	// +optional
	Min string `json:"min,omitempty"`

	// max is the largest value of a Double or an Int, a real number.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$`
	// +optional
	Max string `json:"max,omitempty"`

	// step is the distance between values of a Double or an Int, counted from min; 1 for an Int where it is left out.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$`
	// +optional
	Step string `json:"step,omitempty"`

	// distribution of a Double or an Int: Uniform, LogUniform, Normal or LogNormal; Uniform where it is left out.
	// +optional
	Distribution Distribution `json:"distribution,omitempty"`

	// mean of a Normal or LogNormal (of the logarithm); the middle of the range where it is left out.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$`
	// +optional
	Mean string `json:"mean,omitempty"`

	// stdDev is the standard deviation of a Normal or LogNormal (of the logarithm); a sixth of the range where it is left out.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$`
	// +optional
	StdDev string `json:"stdDev,omitempty"`

	// values of a Discrete, Categorical or Ordinal.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +optional
	Values []string `json:"values,omitempty"`

	// when makes the parameter exist only while another has certain values.
	// +optional
	When *ParameterCondition `json:"when,omitempty"`
}

// ParameterCondition is met while a parameter has one of some values.
type ParameterCondition struct {
	// parameter is the name of a Discrete, Categorical, Ordinal or Int parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Parameter string `json:"parameter,omitempty"`

	// values of it.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +required
	Values []string `json:"values,omitempty"`
}

// ConstraintType is how a constraint is written.
//
// +kubebuilder:validation:Enum=Linear;Expression
type ConstraintType string

// The types of constraints.
const (
	ConstraintLinear     ConstraintType = "Linear"
	ConstraintExpression ConstraintType = "Expression"
)

// Constraint is what the parameters of a trial must meet together.
//
// +kubebuilder:validation:XValidation:rule="has(self.linear) == (self.type == 'Linear') && has(self.expression) == (self.type == 'Expression')",message="constraints[]: type Linear has linear and nothing else, type Expression has expression and nothing else"
type Constraint struct {
	// type is Linear or Expression.
	// +required
	Type ConstraintType `json:"type,omitempty"`

	// linear is a bound on a weighted sum.
	// +optional
	Linear *LinearConstraint `json:"linear,omitempty"`

	// expression is a CEL expression that must be true. Each parameter is a variable of its name in params: a number, or a text
	// where it is Categorical or Ordinal, such as: params.width * params.depth <= 4096.0 || params.optimizer == 'sgd'.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Expression string `json:"expression,omitempty"`
}

// LinearConstraint is met where the sum of the terms is at most max.
type LinearConstraint struct {
	// terms are added.
	// +listType=map
	// +listMapKey=parameter
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +required
	Terms []Term `json:"terms,omitempty"`

	// max is the bound, a real number.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$`
	// +required
	Max string `json:"max,omitempty"`
}

// Term is a parameter times a number.
type Term struct {
	// parameter is the name of a Double, Int or Discrete parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Parameter string `json:"parameter,omitempty"`

	// coefficient it is multiplied by, a real number.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$`
	// +required
	Coefficient string `json:"coefficient,omitempty"`
}

// Assignment gives a parameter a value.
type Assignment struct {
	// name of the parameter.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Name string `json:"name,omitempty"`

	// value of it, as text.
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=128
	// +required
	Value *string `json:"value,omitempty"`
}

// MetricValue is what a metric was in a trial. Values are real numbers as text; NaN and Inf are among them.
type MetricValue struct {
	// name of the metric.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Name string `json:"name,omitempty"`

	// value is the one that counts by the metric's strategy.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	Value string `json:"value,omitempty"`

	// min is the least value it had.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Min string `json:"min,omitempty"`

	// max is the largest value it had.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Max string `json:"max,omitempty"`

	// latest is the last value it had.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Latest string `json:"latest,omitempty"`
}

// CurvePoint is a value at a step.
type CurvePoint struct {
	// step is what was spent until then, a real number: epochs, steps or trials.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	Step string `json:"step,omitempty"`

	// value at that step, a real number.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	Value string `json:"value,omitempty"`
}
