"""The model machine: what must hold, what each transition answers, and the rules that call them."""
