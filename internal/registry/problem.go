package registry

// ProblemReport is a problem with a model.
type ProblemReport struct{}
