export function LearnedCard() {
  return null;
}
