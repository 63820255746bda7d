"""Two arms' replies side by side: to be judged by another model, or by people who do not know which arm is which."""
